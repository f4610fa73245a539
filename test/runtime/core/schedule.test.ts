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
