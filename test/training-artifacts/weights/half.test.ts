/** @file float16: every value, and rounding. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fromHalf, toHalf } from '../../../training-artifacts/weights/half.js';

const all = Uint16Array.from({ length: 65536 }, (_, h) => h);
const isNaN16 = (h: number) => (h & 0x7fff) > 0x7c00;

test('all 65,536 values come back', () => {
  const values = fromHalf(all);
  toHalf(values).forEach((h, i) => {
    if (isNaN16(i)) expect(values[i]).toBeNaN();
    else if (h !== i) expect.fail(`0x${i.toString(16)} became 0x${h.toString(16)}`);
  });
  expect(toHalf(values).filter((h, i) => isNaN16(i) !== isNaN16(h))).toHaveLength(0);
});

// known values of IEEE 754 binary16
test.each([
  [0x0000, 0],
  [0x8000, -0],
  [0x0001, 2 ** -24],
  [0x03ff, 1023 * 2 ** -24],
  [0x0400, 2 ** -14],
  [0x3555, 0.333251953125],
  [0x3c00, 1],
  [0x3c01, 1.0009765625],
  [0xc000, -2],
  [0x7bff, 65504],
  [0x7c00, Infinity],
  [0xfc00, -Infinity],
])('0x%s is %d', (half, value) => {
  expect(fromHalf(Uint16Array.of(half))[0]).toBe(value);
  expect(toHalf(Float32Array.of(value))[0]).toBe(half);
});

test.each([
  [1 + 2 ** -11, 0x3c00], // halfway: to even, down
  [1 + 3 * 2 ** -11, 0x3c02], // halfway: to even, up
  [1 + 2 ** -11 + 2 ** -23, 0x3c01], // just above halfway
  [1 + 3 * 2 ** -11 - 2 ** -23, 0x3c01], // just below halfway
  [-(1 + 3 * 2 ** -11), 0xbc02],
  [2 - 2 ** -12, 0x4000], // the carry goes into the exponent
  [65519.99609375, 0x7bff],
  [65520, 0x7c00], // halfway to what would be 65536
  [1e10, 0x7c00],
  [-1e10, 0xfc00],
  [2 ** -25, 0x0000], // halfway to the smallest: to even
  [2 ** -25 + 2 ** -48, 0x0001],
  [3 * 2 ** -25, 0x0002],
  [2 ** -26, 0x0000],
  [2 ** -14 - 2 ** -25, 0x0400], // from denormal to normal
  [1e-40, 0x0000],
  [-1e-40, 0x8000],
])('%d rounds to nearest, ties to even', (value, half) => {
  expect(toHalf(Float32Array.of(value))[0]).toBe(half);
});

test('no float16 number is nearer than the one chosen', () => {
  const grid = fromHalf(all.slice(0, 0x7c00)); // ascending
  fc.assert(
    fc.property(fc.float({ min: 0, max: 65504, noNaN: true }), (value) => {
      const [half] = toHalf(Float32Array.of(value)) as unknown as [number];
      const error = Math.abs(grid[half]! - value);
      for (const near of [half - 1, half + 1])
        if (near >= 0 && near < grid.length)
          expect(Math.abs(grid[near]! - value)).toBeGreaterThanOrEqual(error);
    }),
    { numRuns: 300 },
  );
});
