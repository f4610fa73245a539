/** @file Updates on a thread that flushes denormal numbers, as ONNX Runtime's does, and on one that does not. */
import { expect, test } from 'vitest';
import { GraphBuilder } from '../../../../graph-builder/ir/builder.js';
import { adamWDefaults, adamWStep } from '../../../../runtime/core/adamw.js';
import { seededNormal, withSession } from '../../../support/one-op.js';

const N = 4000;

/** Whether a product below 2^-126 is 0 here. */
function isFlushing(): boolean {
  const numbers = Float32Array.of(2 ** -126, 0.5);
  return Math.fround(numbers[0]! * numbers[1]!) === 0;
}

/** Bits after updates whose gradients, moments and values reach from 1e-45 to 1. */
function updatedBits(): Uint32Array[] {
  const random = seededNormal(5);
  const tiny = () => random(N).map((x, i) => Math.max(2 ** -126, 10 ** (-38 + (38 * i) / N)) * Math.sign(x));
  const tensor = { value: tiny(), expAvg: tiny(), expAvgSq: tiny().map(Math.abs) };
  for (let step = 1; step <= 200; step++) {
    const gradient = step % 3 ? tiny() : new Float32Array(N);
    const rule = { lr: 10 ** -(step % 7), step, gradientScale: step % 2 ? 1 : 2 ** -20 };
    adamWStep(tensor, gradient, rule, { ...adamWDefaults, weightDecay: 0.9 });
  }
  return [tensor.value, tensor.expAvg, tensor.expAvgSq].map((a) => new Uint32Array(a.buffer));
}

test('give the same bits', async () => {
  expect(isFlushing()).toBe(false);
  const before = updatedBits();
  const g = new GraphBuilder();
  const x = g.input('x', 'float32', [1]);
  await withSession(g.finish({ y: g.mul(x, x) }), async (session) => {
    await session.run({ x: { data: Float32Array.of(1), dims: [1] } });
    expect(isFlushing()).toBe(true);
    expect(updatedBits()).toEqual(before);
  });
  const moments = before.slice(1).flatMap((a) => Array.from(a));
  expect(moments.some((m) => m === 0)).toBe(true); // some were flushed
  expect(moments.some((m) => m !== 0)).toBe(true);
});
