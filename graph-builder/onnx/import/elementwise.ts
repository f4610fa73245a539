/** @file Element-wise operators of foreign models. */
import { onnxTypes } from '../../ir/dtypes.js';
import type { DType, Value } from '../../ir/types.js';
import type { OpName } from '../../ops/registry.js';
import { dtypeOf } from '../tensors.js';
import type { Site } from './site.js';
import type { Translation } from './translation.js';

/** They mean the same in every opset that is read, and have no attributes. */
const SAME = [
  ...['Add', 'Sub', 'Mul', 'Div', 'Pow', 'Neg', 'Exp', 'Log', 'Sqrt', 'Erf', 'Tanh', 'Reciprocal'],
  ...['Relu', 'Sigmoid', 'Where', 'Equal', 'Less', 'LessOrEqual', 'Greater', 'GreaterOrEqual'],
  ...['And', 'Or', 'Not'],
] as const satisfies readonly OpName[];

function castTo(c: Site, dtype: DType): readonly Value[] {
  const x = c.value(0);
  return x.dtype === dtype ? [x] : c.finish('Cast', [x], { to: onnxTypes[dtype] });
}

/** 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) */
function tanhGelu(c: Site, x: Value): readonly Value[] {
  const cube = c.make('Mul', [c.make('Mul', [x, x], {}), x], {});
  const inner = c.make('Add', [x, c.make('Mul', [cube, c.scalar(0.044715)], {})], {});
  const tanh = c.make('Tanh', [c.make('Mul', [inner, c.scalar(Math.sqrt(2 / Math.PI))], {})], {});
  const half = c.make('Mul', [x, c.scalar(0.5)], {});
  return c.finish('Mul', [half, c.make('Add', [tanh, c.scalar(1)], {})], {});
}

function gelu(c: Site): readonly Value[] {
  const form = c.text('approximate', 'none');
  if (form === 'tanh') return tanhGelu(c, c.value(0));
  if (form === 'none') return c.finish('Gelu', [c.value(0)], {});
  throw c.bad(`Gelu approximated by ${form} is not supported`);
}

/** max(0, min(1, alpha·x + beta)) */
function hardSigmoid(c: Site, x: Value, alpha: number, beta: number): readonly [Value, Value, Value] {
  return [
    c.make('Add', [c.make('Mul', [x, c.scalar(alpha)], {}), c.scalar(beta)], {}),
    c.scalar(0),
    c.scalar(1),
  ];
}

export const elementwiseTranslations: Readonly<Record<string, Translation>> = {
  ...Object.fromEntries(
    SAME.map((op): [string, Translation] => [op, (c) => c.finishElementwise(op, c.inputs)]),
  ),
  LeakyRelu: (c) => c.finish('LeakyRelu', [c.value(0)], { alpha: c.number('alpha', 0.01) }),
  Clip: (c) => c.finish('Clip', [c.value(0), c.optional(1), c.optional(2)], {}),
  HardSigmoid: (c) =>
    c.finish('Clip', hardSigmoid(c, c.value(0), c.number('alpha', 0.2), c.number('beta', 0.5)), {}),
  HardSwish: (c) =>
    c.finish('Mul', [c.value(0), c.make('Clip', hardSigmoid(c, c.value(0), 1 / 6, 0.5), {})], {}),
  // only what is no number differs from itself; the WebGPU provider has no IsNaN
  IsNaN: (c) => c.finish('Not', [c.make('Equal', [c.value(0), c.value(0)], {})], {}),
  Gelu: gelu,
  'com.microsoft.Gelu': gelu,
  Cast: (c) => {
    c.ignore('saturate');
    return castTo(c, dtypeOf(c.number('to', 0), c.where));
  },
  CastLike: (c) => castTo(c, c.value(1).dtype),
};
