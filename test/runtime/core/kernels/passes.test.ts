/** @file Sums over arrays of any length against JavaScript's own. */
import { expect, test } from 'vitest';
import { CHUNK } from '../../../../runtime/core/kernels/memory.js';
import { addTo, sumOfSquares } from '../../../../runtime/core/kernels/passes.js';
import { seededNormal } from '../../../support/one-op.js';

const lengths = [...Array.from({ length: 10 }, (_, i) => i), CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7];

test('the sum of squares is a float64 sum, any length', () => {
  for (const length of lengths) {
    sumOfSquares(new Float32Array(CHUNK).fill(1e9)); // what the chunk held before plays no part
    const values = seededNormal(length)(length).map((x) => 1e8 * x);
    const expected = Array.from(values).reduce((s, v) => s + v * v, 0);
    expect(Math.abs(sumOfSquares(values) - expected), `${length}`).toBeLessThanOrEqual(1e-13 * expected);
  }
  const mixed = new Float32Array(1001).fill(1e-3);
  mixed[0] = 1e4; // a float32 sum would lose all the others
  expect(sumOfSquares(mixed) - 1e8).toBeCloseTo(1e-3, 6);
});

test('the sum of squares of the largest and smallest numbers is finite and exact', () => {
  const largest = Math.fround(3.4e38);
  expect(sumOfSquares(Float32Array.of(largest))).toBe(largest * largest);
  expect(sumOfSquares(Float32Array.of(2 ** -126))).toBe(2 ** -252);
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('%d shows in the sum', (bad) => {
  for (const [length, at] of [
    [1, 0],
    [9, 8],
    [CHUNK + 3, CHUNK + 2],
    [CHUNK + 3, 5],
  ] as const) {
    const values = new Float32Array(length).fill(1);
    values[at] = bad;
    expect(Number.isFinite(sumOfSquares(values))).toBe(false);
  }
});

test('sums in place, any length and address', () => {
  for (const length of lengths) {
    const [sum, part] = [seededNormal(1)(length + 1), seededNormal(2)(length + 3)];
    const [first] = sum;
    const expected = Array.from({ length }, (_, i) => Math.fround(sum[i + 1]! + part[i + 3]!));
    addTo(sum.subarray(1), part.subarray(3));
    expect(Array.from(sum)).toEqual([first, ...expected]);
  }
});
