/** @file The optimizer as a graph against the kernels, on the CPU. */
import { expect, test } from 'vitest';
import { verify } from '../../graph-builder/ir/graph.js';
import { adamWGraph, copyGraph, gradientSumGraph } from '../../graph-builder/models/optimizer.js';
import { adamWDefaults, adamWStep } from '../../runtime/core/adamw.js';
import { sumOfSquares } from '../../runtime/core/kernels/passes.js';
import { type Feeds, float32, floats } from '../../runtime/core/session.js';
import { maxDifference } from '../support/golden.js';
import { seededNormal, withSession } from '../support/one-op.js';

const shapes = [
  { name: 'matrix', shape: [5, 7] },
  { name: 'vector', shape: [6] },
  { name: 'kernel', shape: [3, 2, 4, 4] },
];
const sizes = shapes.map(({ shape }) => shape.reduce((p, n) => p * n, 1));
/** learning rate and decay in multiples of the step's */
const ratios = [
  [1, 1],
  [16, 1],
  [1, 0],
] as const;
const LR = 1e-3;
const DECAY = 0.05;
const SCALE = 2 ** 32;

test.each([
  { clip: 0, name: 'without clipping' },
  { clip: 1, name: 'clipped' },
  { clip: 1e3, name: 'a norm below the limit' },
])('20 updates equal those of the kernels: $name', async ({ clip }) => {
  const random = seededNormal(11);
  const host = sizes.map((n) => ({
    value: random(n),
    expAvg: random(n).fill(0),
    expAvgSq: random(n).fill(0),
  }));
  let device: Feeds = Object.fromEntries(
    shapes.flatMap(({ name, shape }, i) => [
      [name, float32(host[i]!.value.slice(), shape)],
      [`${name}.exp_avg`, float32(host[i]!.expAvg.slice(), shape)],
      [`${name}.exp_avg_sq`, float32(host[i]!.expAvgSq.slice(), shape)],
    ]),
  );
  await withSession(verify(adamWGraph(shapes, adamWDefaults)), async (session) => {
    for (let step = 1; step <= 20; step++) {
      const gradients = sizes.map((n) => random(n).map((g) => g * SCALE));
      const norm = Math.sqrt(gradients.reduce((s, g) => s + sumOfSquares(g), 0)) / SCALE;
      const clipping = clip > 0 && norm > clip ? clip / norm : 1;
      host.forEach((tensor, i) => {
        const [rate, decay] = ratios[i]!;
        const options = { ...adamWDefaults, weightDecay: DECAY * decay };
        adamWStep(tensor, gradients[i]!, { lr: LR * rate, step, gradientScale: clipping / SCALE }, options);
      });
      const one = (value: number) => float32(Float32Array.of(value), []);
      const each = (of: (i: number) => number) =>
        float32(Float32Array.from(shapes.keys(), of), [shapes.length]);
      const results = await session.run({
        ...device,
        ...Object.fromEntries(
          shapes.map(({ name, shape }, i) => [`${name}.grad`, float32(gradients[i]!, shape)]),
        ),
        gradient_scale: one(1 / SCALE),
        max_norm: one(clip || 3e38),
        unbias: one(1 / Math.sqrt(1 - 0.999 ** step)),
        rates: each((i) => (LR * ratios[i]![0]) / (1 - 0.9 ** step)),
        decays: each((i) => LR * ratios[i]![0] * DECAY * ratios[i]![1]),
      });
      expect(floats(results.gradient_norm)[0]! / norm - 1).toBeCloseTo(0, 6);
      device = Object.fromEntries(Object.keys(device).map((name) => [name, results[`${name}.next`]!]));
      shapes.forEach(({ name }, i) => {
        const { value, expAvg, expAvgSq } = host[i]!;
        expect(maxDifference(floats(device[name]), value), `${name} at ${step}`).toBeLessThan(1e-6);
        expect(maxDifference(floats(device[`${name}.exp_avg`]), expAvg), name).toBeLessThan(1e-6);
        expect(maxDifference(floats(device[`${name}.exp_avg_sq`]), expAvgSq), name).toBeLessThan(1e-6);
      });
    }
  });
});

test('an infinite or missing number shows in the norm', async () => {
  await withSession(adamWGraph(shapes, adamWDefaults), async (session) => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const zeros = Object.fromEntries(
        session.inputNames.map((name) => {
          const of = shapes.find((s) => name.startsWith(`${s.name}`) && name !== 'rates');
          const dims = of?.shape ?? (['rates', 'decays'].includes(name) ? [shapes.length] : []);
          return [name, float32(new Float32Array(dims.reduce((p, n) => p * n, 1)).fill(1), dims)];
        }),
      );
      floats(zeros['vector.grad'])[3] = bad;
      const norm = floats((await session.run(zeros, ['gradient_norm'])).gradient_norm)[0]!;
      expect(Number.isFinite(norm)).toBe(false);
    }
  });
});

test('sums of gradients and copies', async () => {
  const [a, b] = [seededNormal(1)(35), seededNormal(2)(35)];
  const matrix = [shapes[0]!];
  await withSession(gradientSumGraph(matrix), async (session) => {
    const feeds = { 'matrix.grad': float32(a, [5, 7]), 'matrix.grad.other': float32(b, [5, 7]) };
    expect(floats((await session.run(feeds))['matrix.grad.next'])).toEqual(a.map((v, i) => v + b[i]!));
  });
  await withSession(copyGraph(matrix), async (session) => {
    expect(floats((await session.run({ matrix: float32(a, [5, 7]) }))['matrix.copy'])).toEqual(a);
  });
});
