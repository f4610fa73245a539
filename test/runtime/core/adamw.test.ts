/** @file AdamW against its formula in float64. No ONNX Runtime here: it would flush denormals by itself. */
import { expect, test } from 'vitest';
import { adamWDefaults, adamWStep } from '../../../runtime/core/adamw.js';
import { sumOfSquares } from '../../../runtime/core/kernels/passes.js';
import { seededNormal } from '../../support/one-op.js';

const tensorOf = (value: Float32Array) => ({
  value,
  expAvg: new Float32Array(value.length),
  expAvgSq: new Float32Array(value.length),
});

test.each([
  { lr: 1e-3, weightDecay: 0.05, gradientScale: 1, size: 1 },
  { lr: 1e-2, weightDecay: 0, gradientScale: 2 ** -32, size: 2 ** 32 },
  { lr: 5e-4, weightDecay: 0.5, gradientScale: 0.25, size: 1e-3 },
])('equals the published algorithm: %o', ({ lr, weightDecay, gradientScale, size }) => {
  const random = seededNormal(3);
  const start = random(50);
  const tensor = tensorOf(Float32Array.from(start));
  const options = { ...adamWDefaults, weightDecay };
  const reference = Array.from(start, (p) => ({ p, m: 0, v: 0 }));
  for (let step = 1; step <= 20; step++) {
    const gradient = random(50).map((g) => g * size);
    adamWStep(tensor, gradient, { lr, step, gradientScale }, options);
    reference.forEach((r, i) => {
      // Loshchilov and Hutter, algorithm 2, lines 6 to 12
      const g = gradient[i]! * gradientScale;
      r.m = 0.9 * r.m + 0.1 * g;
      r.v = 0.999 * r.v + 0.001 * g ** 2;
      const mHat = r.m / (1 - 0.9 ** step);
      const vHat = r.v / (1 - 0.999 ** step);
      r.p = r.p - lr * weightDecay * r.p - (lr * mHat) / (Math.sqrt(vHat) + 1e-8);
    });
  }
  reference.forEach(({ p }, i) => {
    expect(Math.abs(tensor.value[i]! - p), `element ${i}`).toBeLessThan(3e-6 * Math.max(1, Math.abs(p)));
    expect(tensor.value[i]).not.toBe(start[i]);
  });
});

test('a parameter without gradient only decays', () => {
  const tensor = tensorOf(Float32Array.of(2, -4));
  adamWStep(
    tensor,
    new Float32Array(2),
    { lr: 0.1, step: 1, gradientScale: 1 },
    { ...adamWDefaults, weightDecay: 0.5 },
  );
  expect(Array.from(tensor.value)).toEqual([Math.fround(1.9), Math.fround(-3.8)]);
});

test('moments hold no denormal number, whatever the gradients', () => {
  const gradients = Float32Array.from({ length: 91 }, (_, i) => 10 ** (-45 + i / 2) * (i % 2 ? 1 : -1));
  const tensor = tensorOf(new Float32Array(91).fill(1));
  for (let step = 1; step <= 400; step++) {
    const gradient = step < 5 ? gradients : new Float32Array(91); // then the moments decay towards 0
    adamWStep(tensor, gradient, { lr: 1e-3, step, gradientScale: 1 }, adamWDefaults);
    for (const moments of [tensor.expAvg, tensor.expAvgSq]) {
      const bad = moments.filter((m) => m !== 0 && Math.abs(m) < 2 ** -126);
      expect(Array.from(bad), `step ${step}`).toEqual([]);
    }
  }
  expect(tensor.value.every(Number.isFinite)).toBe(true);
  expect(tensor.expAvg.some((m) => m !== 0)).toBe(true);
});

test('the sum of squares is a float64 sum, any length', () => {
  for (const length of [0, 1, 3, 4, 5, 11]) {
    const values = Float32Array.from({ length }, (_, i) => 1e8 * (i + 1));
    const expected = Array.from(values).reduce((s, v) => s + v * v, 0);
    expect(sumOfSquares(values)).toBeCloseTo(expected, -6);
  }
  const mixed = new Float32Array(1001).fill(1e-3);
  mixed[0] = 1e4; // a float32 sum would lose all the others
  expect(sumOfSquares(mixed) - 1e8).toBeCloseTo(1e-3, 6);
});
