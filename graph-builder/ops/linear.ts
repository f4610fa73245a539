/** @file Matrix products. */
import { ShapeError } from '../errors.js';
import { broadcast, sameShape } from '../ir/dim.js';
import type { Value } from '../ir/types.js';
import { type Binary, defineOp, describe } from './define.js';

/**
 * Matrix product over the last two axes; leading axes broadcast.
 *
 *   A [...batch, m, k] · B [...batch, k, n] → Y [...batch, m, n]
 *
 * Source: ONNX operator MatMul, opset 13.
 * @throws {ShapeError} when the inner axes differ.
 */
export const MatMul = defineOp<Binary>({
  infer: ([a, b]) => {
    const [m, k] = a.shape.slice(-2);
    const [kOfB, n] = b.shape.slice(-2);
    const leading = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2));
    if (a.shape.length < 2 || b.shape.length < 2 || k !== kOfB || !leading) {
      const where = describe('MatMul', [a, b]);
      if (Math.min(a.shape.length, b.shape.length) < 2) {
        throw new ShapeError(
          'both sides need at least two axes',
          where,
          'reshape a vector to a matrix first',
        );
      }
      if (!leading) throw new ShapeError('leading axes do not broadcast', where, 'make them equal or 1');
      const remedy = 'a weight [out, in] takes g.linear (Gemm with transB), not MatMul';
      throw new ShapeError(`inner axes differ: ${k} and ${kOfB}`, where, remedy);
    }
    return [{ dtype: a.dtype, shape: [...leading, m!, n!] }];
  },
});

/**
 * Matrix product of two matrices, either read transposed, plus a row.
 *
 *   A' [m, k] · B' [k, n] + C [n] → Y [m, n]
 *
 * `transB: 1` reads a weight [out, in] as PyTorch stores it, without a copy.
 * Source: ONNX operator Gemm, opset 13.
 * @throws {ShapeError} when the inner axes differ or C is not a row of length n.
 */
export const Gemm = defineOp<
  readonly [Value, Value] | readonly [Value, Value, Value],
  { readonly transA: 0 | 1; readonly transB: 0 | 1 }
>({
  infer: ([a, b, c], { transA, transB }) => {
    const [m, k] = transA ? [a.shape[1], a.shape[0]] : a.shape;
    const [kOfB, n] = transB ? [b.shape[1], b.shape[0]] : b.shape;
    if (a.shape.length !== 2 || b.shape.length !== 2 || k !== kOfB || (c && !sameShape(c.shape, [n!]))) {
      const where = describe(`Gemm transA=${transA} transB=${transB}`, c ? [a, b, c] : [a, b]);
      if (a.shape.length !== 2 || b.shape.length !== 2) {
        throw new ShapeError('both sides need two axes', where, 'flatten the input to [rows, in] first');
      }
      if (k !== kOfB) {
        const remedy = 'flatten the input to [rows, in] first, and check which side is transposed';
        throw new ShapeError(`inner axes differ: ${k} and ${kOfB}`, where, remedy);
      }
      throw new ShapeError(`the row [${c?.shape}] is not [${n}]`, where, `give a vector of length ${n}`);
    }
    return [{ dtype: a.dtype, shape: [m!, n!] }];
  },
});
