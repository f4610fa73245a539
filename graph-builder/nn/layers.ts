/** @file Layers with the reference's parameter names. */
import type { GraphBuilder } from '../ir/builder.js';
import type { Value } from '../ir/types.js';

/** y = x·Wᵀ + b with `<name>.weight` [out, in] and `<name>.bias` [out]; x [rows, in]. */
export function linear(g: GraphBuilder, x: Value, name: string, outFeatures: number): Value {
  const inFeatures = x.shape[1] as number;
  const weight = g.parameter(`${name}.weight`, [outFeatures, inFeatures], 'normal');
  return g.linear(x, weight, g.parameter(`${name}.bias`, [outFeatures], 'zeros'));
}

/** Layer normalisation over the last axis with `<name>.weight` and `<name>.bias`. */
export function layerNorm(g: GraphBuilder, x: Value, name: string, epsilon: number): Value {
  const width = x.shape.at(-1) as number;
  const weight = g.parameter(`${name}.weight`, [width], 'ones');
  const bias = g.parameter(`${name}.bias`, [width], 'zeros');
  return g.op('LayerNormalization', [x, weight, bias], { axis: -1, epsilon });
}

export const gelu = (g: GraphBuilder, x: Value): Value => g.op('Gelu', [x], {});
