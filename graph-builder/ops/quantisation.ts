/** @file Products of 8-bit numbers, and what leads to them. */
import { ShapeError } from '../errors.js';
import { sameShape } from '../ir/dim.js';
import type { Value } from '../ir/types.js';
import { defineOp, describe, type Unary } from './define.js';

/** Source: ONNX operator Abs, opset 13. */
export const Abs = defineOp<Unary>({ infer: ([x]) => [{ dtype: x.dtype, shape: x.shape }] });

/**
 * code = saturate(round(x / scale) + zeroPoint) in uint8, with a scale and a zero point a row; rounds half to even.
 *
 *   x [rows, width] float32, scale [rows] float32, zeroPoint [rows] uint8 → [rows, width] uint8
 *
 * Source: ONNX operator QuantizeLinear, opset 13.
 */
export const QuantizeLinear = defineOp<readonly [Value, Value, Value], { readonly axis: 0 }>({
  infer: (inputs) => {
    const [x, scale, zeroPoint] = inputs;
    const row = x.shape.slice(0, 1);
    if (x.shape.length !== 2 || !sameShape(scale.shape, row) || !sameShape(zeroPoint.shape, row)) {
      throw new ShapeError(
        'a matrix with a scale and a zero point a row is needed',
        describe('QuantizeLinear', inputs),
        `pass vectors of length ${row}`,
      );
    }
    return [{ dtype: zeroPoint.dtype, shape: x.shape }];
  },
});

/**
 * y = (a − aZero)·b · aScale · bScale: sums of 32 bits, then float32.
 *
 *   a [rows, in] uint8, b [in, out] int8, aScale [], bScale [] or [out], aZero [] uint8 → [rows, out] float32
 *
 * On x64 CPUs with AVX2 and no VNNI ONNX Runtime adds pairs of products in 16 bits, which saturate: b must keep to
 * ±64 there (255·64·2 = 32,640).
 * Source: ONNX Runtime operator com.microsoft.MatMulIntegerToFloat, version 1.
 */
export const MatMulIntegerToFloat = defineOp<readonly [Value, Value, Value, Value, Value]>({
  domain: 'com.microsoft',
  infer: (inputs) => {
    const [a, b, , bScale] = inputs;
    const [rows, k] = a.shape;
    const [kOfB, out] = b.shape;
    const perColumn = bScale.shape.length === 0 || sameShape(bScale.shape, [out!]);
    if (a.shape.length !== 2 || b.shape.length !== 2 || k !== kOfB || !perColumn) {
      throw new ShapeError(
        'two matrices [rows, in] and [in, out] are needed, and one scale or one a column',
        describe('MatMulIntegerToFloat', inputs),
        'flatten the input to [rows, in] first',
      );
    }
    return [{ dtype: bScale.dtype, shape: [rows!, out!] }];
  },
});

export interface MatMulNBitsAttrs {
  /** inner length */
  readonly K: number;
  /** columns of the result */
  readonly N: number;
  readonly bits: 8;
  readonly block_size: number;
  /** what the sums are made in: 0 float32, 4 int8 where the CPU has it */
  readonly accuracy_level: 0 | 4;
  readonly [name: string]: number;
}

/**
 * y = a·Bᵀ with B in blocks: B[n, k] = (codes[n, k / block, k mod block] − 128) · scales[n, k / block].
 *
 *   a [rows, K] float32, codes [N, K / block, block] uint8, scales [N, K / block] float32 → [rows, N] float32
 *
 * Source: ONNX Runtime operator com.microsoft.MatMulNBits, version 1.
 */
export const MatMulNBits = defineOp<readonly [Value, Value, Value], MatMulNBitsAttrs>({
  domain: 'com.microsoft',
  infer: (inputs, { K, N, block_size: block }) => {
    const [a, codes, scales] = inputs;
    const blocks = K / block;
    const fits =
      a.shape.length === 2 &&
      a.shape[1] === K &&
      Number.isInteger(blocks) &&
      sameShape(codes.shape, [N, blocks, block]) &&
      sameShape(scales.shape, [N, blocks]);
    if (!fits) {
      throw new ShapeError(
        `codes [${N}, ${K} / ${block}, ${block}] and their scales are needed`,
        describe('MatMulNBits', inputs),
        'choose a block size that divides the inner length',
      );
    }
    return [{ dtype: a.dtype, shape: [a.shape[0]!, N] }];
  },
});
