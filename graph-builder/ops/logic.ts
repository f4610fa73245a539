/** @file Comparisons, selection and conversion. */
import { onnxTypes } from '../ir/dtypes.js';
import type { DType, Value } from '../ir/types.js';
import { type Binary, broadcastType, defineOp, type Unary } from './define.js';

const comparison = (op: string) =>
  defineOp<Binary>({ infer: (inputs) => [broadcastType(op, inputs, 'bool')] });

/** Source: ONNX operators of the same names, opset 16 and before. */
export const Equal = comparison('Equal');
export const Less = comparison('Less');
export const LessOrEqual = comparison('LessOrEqual');
export const Greater = comparison('Greater');
export const GreaterOrEqual = comparison('GreaterOrEqual');
export const And = comparison('And');
export const Or = comparison('Or');
export const Not = defineOp<Unary>({ infer: ([x]) => [{ dtype: x.dtype, shape: x.shape }] });

/** `condition ? x : y`, all broadcast. Source: ONNX operator Where, opset 16. */
export const Where = defineOp<readonly [Value, Value, Value]>({
  infer: ([condition, x, y]) => {
    const both = broadcastType('Where', [x, y]);
    return [
      broadcastType('Where', [
        { ...condition, dtype: x.dtype },
        { name: 'x, y', ...both },
      ]),
    ];
  },
});

/** Source: ONNX operator Cast, opset 13. `to` is ONNX's number of the dtype. */
export const Cast = defineOp<Unary, { readonly to: number }>({
  infer: ([x], { to }) => {
    const dtype = (Object.keys(onnxTypes) as DType[]).find((t) => onnxTypes[t] === to);
    if (!dtype) throw new Error(`internal: no dtype ${to}`);
    return [{ dtype, shape: x.shape }];
  },
});

/**
 * The value itself, as a constant: no gradient flows back (PyTorch's `detach`). Identities of models that are
 * read are not kept, so this one is never somebody else's.
 *
 * Source: ONNX operator Identity, opset 16.
 */
export const Identity = defineOp<Unary>({ infer: ([x]) => [{ dtype: x.dtype, shape: x.shape }] });
