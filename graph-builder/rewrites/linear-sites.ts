/** @file Finds the products with weights, where adapters go. */
import type { GraphBuilder } from '../ir/builder.js';
import { isParameter, type Node, type Parameter, type Value } from '../ir/types.js';

/** `y = x·Wᵀ + b`: x [rows, in], W [out, in] or a convolution kernel [out, channels, height, width] over patches. */
export interface LinearSite {
  readonly x: Value;
  readonly weight: Parameter;
  /** `weight` as the product reads it, [out, in] */
  readonly matrix: Value;
  readonly y: Value;
}

/** The site that `node` is, if it multiplies by a parameter. */
export function linearSite(g: GraphBuilder, node: Node): LinearSite | undefined {
  if (node.op !== 'Gemm') return undefined;
  const { transA, transB } = node.attrs as Node<'Gemm'>['attrs'];
  if (transA !== 0 || transB !== 1) return undefined;
  const [x, matrix] = node.inputs as readonly [Value, Value];
  const source = g.producerOf(matrix);
  const weight = source?.op === 'Reshape' ? source.inputs[0] : matrix;
  return isParameter(weight) ? { x, weight, matrix, y: node.outputs[0]! } : undefined;
}
