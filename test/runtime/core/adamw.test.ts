/** @file AdamW against its formula in float64, wherever the arrays lie. No ONNX Runtime here: it would flush denormals. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { adamWDefaults, adamWStep } from '../../../runtime/core/adamw.js';
import { CHUNK } from '../../../runtime/core/kernels/memory.js';
import { moveToKernels } from '../../../runtime/core/kernels/resident.js';
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

describe('the same bits', () => {
  const options = { ...adamWDefaults, weightDecay: 0.1 };
  const rule = { lr: 1e-3, step: 3, gradientScale: 2 ** -3 };
  /** Value, moments and gradient of one length; moments as after some updates. */
  const draw = (length: number, seed: number) => {
    const random = seededNormal(seed);
    const [value, expAvg, gradient] = [random(length), random(length), random(length)];
    return { value, expAvg, expAvgSq: random(length).map((x) => x * x), gradient };
  };
  const bits = ({ value, expAvg, expAvgSq }: ReturnType<typeof tensorOf>) =>
    [value, expAvg, expAvgSq].map((a) => Buffer.from(a.slice().buffer).toString('base64'));
  const updated = ({ gradient, ...tensor }: ReturnType<typeof draw>) => {
    adamWStep(tensor, gradient, rule, options);
    return bits(tensor);
  };
  const lengths = fc.oneof(
    fc.integer({ min: 0, max: 9 }),
    fc.integer({ min: CHUNK - 5, max: CHUNK + 5 }),
    fc.integer({ min: 2 * CHUNK - 5, max: 2 * CHUNK + 5 }),
  );

  test('of a number whatever its place: each one alone equals all at once', () => {
    fc.assert(
      fc.property(lengths, fc.nat(), (length, seed) => {
        const all = updated(draw(length, seed));
        const { value, expAvg, expAvgSq, gradient } = draw(length, seed);
        const cut = seed % (length + 1); // two views of the same arrays, at addresses of any remainder
        for (const [from, to] of [
          [cut, length],
          [0, cut],
        ]) {
          const part = (a: Float32Array) => a.subarray(from, to);
          const tensor = { value: part(value), expAvg: part(expAvg), expAvgSq: part(expAvgSq) };
          adamWStep(tensor, part(gradient), rule, options);
        }
        expect(bits({ value, expAvg, expAvgSq })).toEqual(all);
      }),
      { numRuns: 30 },
    );
  });

  test('in the memory of the kernels as elsewhere; neighbours there stay as they are', () => {
    fc.assert(
      fc.property(fc.array(lengths, { minLength: 1, maxLength: 5 }), fc.nat(), (several, seed) => {
        const drawn = several.map((length, i) => draw(length, seed + i));
        const tensors = drawn.map(({ value, expAvg, expAvgSq }) => ({ value, expAvg, expAvgSq }));
        expect(moveToKernels(tensors, 64 * CHUNK)).toBe(several.length);
        for (const [i, { gradient }] of drawn.entries()) {
          adamWStep(tensors[i]!, gradient, rule, options);
          for (const [j, tensor] of tensors.entries()) {
            const expected = j <= i ? updated(draw(several[j]!, seed + j)) : bits(drawn[j]!);
            expect(bits(tensor), `tensor ${j} after the update of ${i}`).toEqual(expected);
          }
        }
      }),
      { numRuns: 20 },
    );
  });

  test('when a moved tensor is updated in part', () => {
    const whole = draw(23, 1);
    const { gradient, ...all } = draw(23, 1);
    adamWStep(all, gradient, rule, options);
    const expected = [all.value, all.expAvg, all.expAvgSq];
    const moved = { value: whole.value, expAvg: whole.expAvg, expAvgSq: whole.expAvgSq };
    moveToKernels([moved]);
    const part = (a: Float32Array) => a.subarray(3, 10);
    adamWStep(
      { value: part(moved.value), expAvg: part(moved.expAvg), expAvgSq: part(moved.expAvgSq) },
      part(whole.gradient),
      rule,
      options,
    );
    const { value, expAvg, expAvgSq } = draw(23, 1);
    const mixed = [value, expAvg, expAvgSq].map((before, k) =>
      before.map((b, i) => (i >= 3 && i < 10 ? expected[k]![i]! : b)),
    );
    expect([moved.value, moved.expAvg, moved.expAvgSq]).toEqual(mixed);
  });
});
