/** @file Learning rates by step. */
import { expect, test } from 'vitest';
import { learningRate, type ScheduleOptions } from '../../../runtime/core/schedule.js';

const options: ScheduleOptions = {
  lr: 1,
  minLr: 0.2,
  epochs: 4,
  warmupSteps: 0,
  schedule: 'cosine-epoch',
};
const rates = (steps: readonly number[], changed: Partial<ScheduleOptions> = {}) =>
  steps.map((step) => learningRate(step, 5, { ...options, ...changed }));

test('cosine-epoch is constant within an epoch and follows the cosine between them', () => {
  const [r1, r2, r3] = [0.6 + 0.4 * Math.SQRT1_2, 0.6, 0.6 - 0.4 * Math.SQRT1_2];
  const expected = [1, 1, r1, r1, r2, r2, r3, r3, 0.2];
  for (const [i, rate] of rates([0, 4, 5, 9, 10, 14, 15, 19, 20]).entries())
    expect(rate).toBeCloseTo(expected[i]!, 12);
});

test('cosine falls with every step, to the final rate at the end', () => {
  const all = rates([...Array(21).keys()], { schedule: 'cosine' });
  all.slice(1).forEach((rate, i) => {
    expect(rate).toBeLessThan(all[i]!);
  });
  expect(all[10]).toBeCloseTo(0.6, 12);
  expect(all[20]).toBeCloseTo(0.2, 12);
  expect(rates([25, 1000], { schedule: 'cosine' })).toEqual([all[20], all[20]]); // never rises again
});

test('linear falls by equal amounts to the final rate, and stays there', () => {
  // as PyTorch's LinearLR(start_factor=1, end_factor=0.2, total_iters=20)
  const all = rates([...Array(21).keys()], { schedule: 'linear' });
  for (const [step, rate] of all.entries()) expect(rate).toBeCloseTo(1 - 0.04 * step, 12);
  expect(rates([25, 1000], { schedule: 'linear' })).toEqual([0.2, 0.2]);
});

test('linear after a warm-up falls from its end, as get_linear_schedule_with_warmup', () => {
  // Hugging Face: (steps - step) / (steps - warm-up) from the warm-up's end on, to 0
  const changed = { schedule: 'linear', minLr: 0, warmupSteps: 4 } as const;
  expect(rates([0, 3, 4, 12, 16, 19, 20], changed)).toEqual([0.25, 1, 1, 0.5, 0.25, 1 / 16, 0]);
  expect(rates([20], { schedule: 'linear', warmupSteps: 20 })).toEqual([0.2]); // nothing is left to fall
});

test('cosine equals PyTorch’s CosineAnnealingLR', () => {
  // eta_min + (base - eta_min) · (1 + cos(π t / T_max)) / 2 with T_max 20, eta_min 0.2; values worked out by hand:
  // t = 5 is cos 45°, t = 10 is cos 90°, t = 15 is cos 135°, t = 20/3 would be cos 60°
  const all = rates([0, 5, 10, 15, 20], { schedule: 'cosine' });
  const expected = [1, 0.882842712474619, 0.6, 0.317157287525381, 0.2];
  for (const [i, rate] of all.entries()) expect(rate).toBeCloseTo(expected[i]!, 12);
});

test('constant stays', () => {
  expect(rates([0, 7, 19], { schedule: 'constant' })).toEqual([1, 1, 1]);
});

test.each(['cosine-epoch', 'cosine', 'constant'] as const)(
  '%s warms up linearly, never from 0',
  (schedule) => {
    const warm = rates([0, 1, 2, 3], { schedule, warmupSteps: 4 });
    expect(warm).toEqual([0.25, 0.5, 0.75, 1]);
    expect(rates([4, 11], { schedule, warmupSteps: 4 })).toEqual(rates([4, 11], { schedule }));
  },
);
