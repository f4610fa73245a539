/** @file Gradients of matrix products. */
import type { GraphBuilder } from '../ir/builder.js';
import { product } from '../ir/dim.js';
import type { Value } from '../ir/types.js';
import type { GradientRules } from './rule.js';

/** [..., width] → [rows, width] */
const rows = (g: GraphBuilder, v: Value): Value =>
  g.reshape(v, [product(v.shape.slice(0, -1)), v.shape.at(-1)!]);

/** Whether rows go back to the axes they came from without a shape that is computed. */
const returns = ({ shape }: Value): boolean => shape.filter((d) => typeof d === 'string').length <= 1;

export const linear = {
  // dA = dY·Bᵀ, dB = Aᵀ·dY over the last two axes. With a matrix B, often a weight [in, out], both are one
  // Gemm over all rows: no product a sample that is summed, no transposed copy of the weight.
  MatMul: ({ g, inputs: [a, b], dy }) => {
    const isWeight = b.shape.length === 2;
    const da = () => g.gemm(rows(g, dy), b, { transA: 0, transB: 1 });
    return [
      () => (isWeight && returns(a) ? g.reshape(da(), a.shape) : g.matmul(dy, g.swapLast(b))),
      () =>
        isWeight ? g.gemm(rows(g, a), rows(g, dy), { transA: 1, transB: 0 }) : g.matmul(g.swapLast(a), dy),
    ];
  },
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
