/** @file Whether one model is better than another on the same questions. */
import { type BootstrapOptions, bootstrapMean, type Interval } from './bootstrap.js';

export interface PairedDifference extends Interval {
  readonly n: number;
  /** Accuracy of A minus accuracy of B: positive when A is better. */
  readonly difference: number;
}

function checkPairs(correctA: readonly boolean[], correctB: readonly boolean[]): void {
  if (correctA.length === correctB.length) return;
  throw new Error(`internal: ${correctA.length} and ${correctB.length} answers are no pairs`);
}

/** Difference of accuracies with its 95% interval; questions are resampled, so pairs stay together. */
export function pairedDifference(
  correctA: readonly boolean[],
  correctB: readonly boolean[],
  options?: BootstrapOptions,
): PairedDifference {
  checkPairs(correctA, correctB);
  const differences = correctA.map((a, i) => Number(a) - Number(correctB[i]));
  const n = differences.length;
  const difference = differences.reduce((sum, d) => sum + d, 0) / n;
  return { n, difference, ...bootstrapMean(differences, options) };
}

export interface McNemar {
  /** Questions that only A, and that only B, answers right. */
  readonly onlyA: number;
  readonly onlyB: number;
  readonly p: number;
}

/**
 * Exact McNemar test, two-sided: were both equally good, onlyA would be Binomial(onlyA + onlyB, 1/2).
 *
 *   p = min(1, 2 · Σ_{k ≤ min(onlyA, onlyB)} C(n, k) / 2ⁿ)
 *
 * Source: Fagerland, Lydersen and Laake 2013 (BMC Med Res Methodol 13:91), "exact conditional test".
 */
export function mcnemar(correctA: readonly boolean[], correctB: readonly boolean[]): McNemar {
  checkPairs(correctA, correctB);
  const onlyA = correctA.filter((a, i) => a && !correctB[i]).length;
  const onlyB = correctB.filter((b, i) => b && !correctA[i]).length;
  const n = onlyA + onlyB;
  // Logarithms: 1 / 2^n is 0 in double precision above n = 1,074.
  let logTerm = -n * Math.LN2;
  let tail = Math.exp(logTerm);
  for (let k = 1; k <= Math.min(onlyA, onlyB); k++) {
    logTerm += Math.log((n - k + 1) / k);
    tail += Math.exp(logTerm);
  }
  return { onlyA, onlyB, p: Math.min(1, 2 * tail) };
}
