/** @file Activations. */
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
