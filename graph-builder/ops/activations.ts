/** @file Activations. */
import type { Value } from '../ir/types.js';
import { defineOp, type Unary } from './define.js';

/**
 * Softmax over one axis.
 *
 * Source: ONNX operator Softmax, opset 13.
 */
export const Softmax = defineOp<Unary, { readonly axis: number }>({
  infer: ([x]) => [{ dtype: x.dtype, shape: x.shape }],
});

/**
 * Gaussian error linear unit, the exact (erf) form: x · Φ(x).
 *
 * Source: ONNX Runtime operator com.microsoft.Gelu, version 1.
 */
export const Gelu = defineOp<Unary>({
  domain: 'com.microsoft',
  infer: ([x]) => [{ dtype: x.dtype, shape: x.shape }],
});

/** max(x, 0). Source: ONNX operator Relu, opset 14. */
export const Relu = defineOp<Unary>({ infer: ([x]) => [{ dtype: x.dtype, shape: x.shape }] });

/** x where x ≥ 0, else alpha · x. Source: ONNX operator LeakyRelu, opset 16. */
export const LeakyRelu = defineOp<Unary, { readonly alpha: number }>({
  floats: ['alpha'],
  infer: ([x]) => [{ dtype: x.dtype, shape: x.shape }],
});

/** 1 / (1 + exp(−x)). Source: ONNX operator Sigmoid, opset 13. */
export const Sigmoid = defineOp<Unary>({ infer: ([x]) => [{ dtype: x.dtype, shape: x.shape }] });

/** x between two scalars, either of which may be missing. Source: ONNX operator Clip, opset 13. */
export const Clip = defineOp<readonly [Value, Value | undefined, Value | undefined]>({
  infer: ([x]) => [{ dtype: x.dtype, shape: x.shape }],
});
