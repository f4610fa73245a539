/** @file Gradients of matrix products. */
import type { GradientRules } from './rule.js';

export const linear = {
  // dA = dY·Bᵀ, dB = Aᵀ·dY over the last two axes
  MatMul: ({ g, inputs: [a, b], dy }) => [
    () => g.matmul(dy, g.swapLast(b)),
    () => g.matmul(g.swapLast(a), dy),
  ],
  // y = x·Wᵀ: dx = dy·W, dW = dyᵀ·x. Gemm reads its operand transposed in place; a Transpose of W would copy it.
  Gemm: ({ g, inputs: [a, b], attrs: { transA, transB }, dy }) => [
    () =>
      transA
        ? g.gemm(b, dy, { transA: transB, transB: 1 })
        : g.gemm(dy, b, { transA: 0, transB: transB ? 0 : 1 }),
    () =>
      transB
        ? g.gemm(dy, a, { transA: 1, transB: transA })
        : g.gemm(a, dy, { transA: transA ? 0 : 1, transB: 0 }),
    () => g.reduceSum(dy, [0]),
  ],
} satisfies Partial<GradientRules>;
