/** @file Reading and writing by index. */
import type { Value } from '../ir/types.js';
import { axisOf, type Binary, defineOp, type Unary } from './define.js';

/**
 * Rows of a table.
 *
 *   data [..., n, ...], indices [i...] int32 or int64 → [..., i..., ...] at `axis`
 *
 * Source: ONNX operator Gather, opset 13.
 */
export const Gather = defineOp<Binary, { readonly axis: number }>({
  infer: ([data, indices], { axis }) => {
    const at = axisOf('Gather', [data, indices], axis);
    const shape = [...data.shape.slice(0, at), ...indices.shape, ...data.shape.slice(at + 1)];
    return [{ dtype: data.dtype, shape }];
  },
});

/** One element of `data` for each index. Source: ONNX operator GatherElements, opset 13. */
export const GatherElements = defineOp<Binary, { readonly axis: number }>({
  infer: ([data, indices]) => [{ dtype: data.dtype, shape: indices.shape }],
});

/**
 * Adds `updates` to `data` at `indices` along `axis`; repeated indices add up.
 *
 * ScatterND is not offered: ONNX Runtime 1.30's CPU kernel adds from several threads without a lock, so that
 * repeated indices lose updates.
 * Source: ONNX operator ScatterElements, opset 18.
 */
export const ScatterElements = defineOp<
  readonly [Value, Value, Value],
  { readonly axis: number; readonly reduction: 'add' }
>({
  infer: ([data]) => [{ dtype: data.dtype, shape: data.shape }],
});

/** The k largest of the last axis, with their indices (int64). Source: ONNX operator TopK, opset 11. */
export const TopK = defineOp<Unary, { readonly k: readonly [number]; readonly axis: -1 }>({
  asInputs: ['k'],
  infer: ([x], { k }) => {
    const shape = [...x.shape.slice(0, -1), k[0]];
    return [
      { dtype: x.dtype, shape },
      { dtype: 'int64', shape },
    ];
  },
});
