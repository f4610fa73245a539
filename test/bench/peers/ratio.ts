/** @file How sure a ratio of medians is. */
import { hash32, uniform } from '../../../datasets/random.js';
import { median } from '../measure.js';

const RESAMPLES = 2000;

/** 95% percentile bootstrap interval of median(a) / median(b), rounds resampled in pairs. */
export function ratioInterval(a: readonly number[], b: readonly number[]): { low: number; high: number } {
  const ratios = Array.from({ length: RESAMPLES }, (_, r) => {
    const key = hash32('ratio', r);
    const drawn = a.map((_, i) => Math.floor(uniform(key, i) * a.length));
    return median(drawn.map((i) => a[i]!)) / median(drawn.map((i) => b[i]!));
  }).sort((x, y) => x - y);
  return { low: ratios[Math.floor(0.025 * RESAMPLES)]!, high: ratios[Math.ceil(0.975 * RESAMPLES) - 1]! };
}
