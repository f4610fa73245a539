/** @file Reading and writing by index. */
import type { Value } from '../ir/types.js';
import { type Binary, defineOp, type Unary } from './define.js';

/**
 * Rows of a table.
 *
 *   data [..., n, ...], indices [i...] int32 or int64 → [..., i..., ...] at `axis`
 *
 * Source: ONNX operator Gather, opset 13.
 */
export const Gather = defineOp<Binary, { readonly axis: number }>({
  infer: ([data, indices], { axis }) => [
    { dtype: data.dtype, shape: [...data.shape.slice(0, axis), ...indices.shape, ...data.shape.slice(axis + 1)] },
  ],
});

/** One element of `data` for each index. Source: ONNX operator GatherElements, opset 13. */
export const GatherElements = defineOp<Binary, { readonly axis: number }>({
  infer: ([data, indices]) => [{ dtype: data.dtype, shape: indices.shape }],
});

/**
 * Adds `updates` to `data` at `indices` along `axis`.
 *
 * Source: ONNX operator ScatterElements, opset 18.
 */
export const ScatterElements = defineOp<
  readonly [Value, Value, Value],
  { readonly axis: number; readonly reduction: 'add' }
>({
  infer: ([data]) => [{ dtype: data.dtype, shape: data.shape }],
});

/**
 * Adds rows `updates [i..., rest]` to `data` at `indices [i..., 1]` (int64); repeated indices add up.
 *
 * Source: ONNX operator ScatterND, opset 18.
 */
export const ScatterND = defineOp<readonly [Value, Value, Value], { readonly reduction: 'add' }>({
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
