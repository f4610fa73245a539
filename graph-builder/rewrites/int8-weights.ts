/** @file Weights as 8-bit numbers: their names, layouts and values. */
import type { DType, Parameter } from '../ir/types.js';

/**
 * dynamic:     activations become 8-bit numbers a row while the graph runs, products are sums of integers (CPU, wasm)
 * weight-only: weights alone are 8-bit numbers, in blocks; products are sums of float32 (WebGPU, small memory)
 */
export const int8Forms = ['dynamic', 'weight-only'] as const;
export type Int8Form = (typeof int8Forms)[number];

/**
 * Largest code of a weight in `dynamic`. ONNX Runtime adds pairs of products in 16 bits on x64 CPUs with AVX2 and no
 * VNNI: with 127 they saturate there (measured: 3.6% instead of 3.3% error), with 64 integers are the same on every
 * CPU and in wasm, for 0.25% more error where they would not saturate.
 */
const DYNAMIC_LIMIT = 64;
const BLOCK_LIMIT = 127;
/** Zero point of unsigned codes. */
export const ZERO_POINT = 128;

/** Weights in a row of the matrix that share a scale in `weight-only`. */
export const BLOCK = 32;

/** A matrix [out, in] that products read. */
export interface Matrix {
  readonly name: string;
  readonly out: number;
  readonly in: number;
}

/** Forward products read `columns`, those of the backward pass `rows`: a product reads [inner, out] in memory order. */
export const dynamicNames = (weight: string) => ({
  columns: `${weight}.int8`,
  rows: `${weight}.int8_rows`,
  scale: `${weight}.int8_scale`,
});

/** Codes and scales in blocks along the inner axis of x·Wᵀ, and of dy·W. */
export const blockNames = (weight: string) => ({
  forward: { codes: `${weight}.q8`, scales: `${weight}.q8_scale` },
  backward: { codes: `${weight}.q8_rows`, scales: `${weight}.q8_rows_scale` },
});

const stored = (name: string, dtype: DType, shape: readonly number[]): Parameter => ({
  kind: 'parameter',
  name,
  dtype,
  shape,
  trainable: false,
  init: 'checkpoint',
});

const inBlocks = (names: { codes: string; scales: string }, rows: number, inner: number): Parameter[] =>
  inner % BLOCK === 0
    ? [
        stored(names.codes, 'uint8', [rows, inner / BLOCK, BLOCK]),
        stored(names.scales, 'float32', [rows, inner / BLOCK]),
      ]
    : [];

/** The tensors that stand for a weight; in `weight-only` a side whose inner axis has no whole blocks is missing. */
export function int8Tensors({ name, out, in: inner }: Matrix, form: Int8Form): readonly Parameter[] {
  if (form === 'dynamic') {
    const names = dynamicNames(name);
    return [
      stored(names.columns, 'int8', [inner, out]),
      stored(names.rows, 'int8', [out, inner]),
      stored(names.scale, 'float32', [out]),
    ];
  }
  const { forward, backward } = blockNames(name);
  return [...inBlocks(forward, out, inner), ...inBlocks(backward, inner, out)];
}

/** [rows, columns] → [columns, rows] */
function transposed<T extends Float32Array | Int8Array>(matrix: T, rows: number, columns: number): T {
  const result = matrix.slice() as T;
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) result[c * rows + r] = matrix[r * columns + c]!;
  return result;
}

/** Largest magnitude of `values[from, to)`. */
function largest(values: Float32Array, from: number, to: number): number {
  let most = 0;
  for (let i = from; i < to; i++) most = Math.max(most, Math.abs(values[i]!));
  return most;
}

/** Half to even, as ONNX rounds. */
function roundHalfEven(x: number): number {
  const up = Math.round(x);
  return up - x === 0.5 && up % 2 !== 0 ? up - 1 : up;
}

/**
 * Codes and scales of groups of `group` numbers each: value ≈ code · scale, |code| ≤ limit.
 *
 * A group of zeros has the scale 0.
 */
function codesOf(
  values: Float32Array,
  group: number,
  limit: number,
): { codes: Int8Array; scales: Float32Array } {
  const codes = new Int8Array(values.length);
  const scales = new Float32Array(values.length / group);
  for (let g = 0; g < scales.length; g++) {
    const [from, to] = [g * group, (g + 1) * group];
    const scale = Math.fround(largest(values, from, to) / limit);
    scales[g] = scale;
    if (scale === 0) continue;
    for (let i = from; i < to; i++) codes[i] = roundHalfEven(values[i]! / scale);
  }
  return { codes, scales };
}

const bytesOf = (a: Int8Array | Float32Array | Uint8Array): Uint8Array =>
  new Uint8Array(a.buffer, a.byteOffset, a.byteLength);

function blockBytes(
  names: { codes: string; scales: string },
  values: Float32Array,
  inner: number,
): [string, Uint8Array][] {
  if (inner % BLOCK !== 0) return [];
  const { codes, scales } = codesOf(values, BLOCK, BLOCK_LIMIT);
  return [
    [names.codes, Uint8Array.from(codes, (code) => code + ZERO_POINT)],
    [names.scales, bytesOf(scales)],
  ];
}

/**
 * The bytes of {@link int8Tensors}, from the weight's values in row-major order.
 *
 *   dynamic:     W[o, i] ≈ code[o, i] · scale[o], |code| ≤ 64: one scale an output channel, both layouts the same codes
 *   weight-only: W[o, i] ≈ (code − 128) · scale[o, ⌊i / 32⌋], and the same for Wᵀ
 */
export function quantise(matrix: Matrix, values: Float32Array, form: Int8Form): Map<string, Uint8Array> {
  const { name, out, in: inner } = matrix;
  if (form === 'dynamic') {
    const names = dynamicNames(name);
    const { codes, scales } = codesOf(values, inner, DYNAMIC_LIMIT);
    return new Map([
      [names.columns, bytesOf(transposed(codes, out, inner))],
      [names.rows, bytesOf(codes)],
      [names.scale, bytesOf(scales)],
    ]);
  }
  const { forward, backward } = blockNames(name);
  return new Map([
    ...blockBytes(forward, values, inner),
    ...blockBytes(backward, transposed(values, out, inner), out),
  ]);
}
