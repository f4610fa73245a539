/** @file How far a mean could be off: percentile bootstrap. */
import { hash32, uniform } from '../random.js';

export interface BootstrapOptions {
  readonly seed?: number;
  readonly resamples?: number;
}

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/**
 * 95% percentile bootstrap interval of the mean: `resamples` (2,000) draws of as many values with
 * replacement. The same values and seed give the same interval. Of no values, both ends are NaN.
 * Source: Efron and Tibshirani 1993, chapter 13.
 */
export function bootstrapMean(
  values: readonly number[],
  { seed = 0, resamples = 2000 }: BootstrapOptions = {},
): Interval {
  const n = values.length;
  if (n === 0) return { low: Number.NaN, high: Number.NaN };
  const means = new Float64Array(resamples);
  for (let r = 0; r < resamples; r++) {
    const words = hash32(seed, 'bootstrap', r);
    let sum = 0;
    for (let i = 0; i < n; i++) sum += values[Math.floor(uniform(words, i) * n)]!;
    means[r] = sum / n;
  }
  means.sort();
  return { low: quantile(means, 0.025), high: quantile(means, 0.975) };
}

/** Linear between the two nearest of the sorted values, as numpy's default. */
function quantile(sortedValues: Float64Array, q: number): number {
  const at = q * (sortedValues.length - 1);
  const below = sortedValues[Math.floor(at)]!;
  const above = sortedValues[Math.ceil(at)]!;
  return below + (above - below) * (at - Math.floor(at));
}
