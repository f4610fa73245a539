/** @file Whether a confidence means what it says: calibration error, and a temperature that mends it. */

/** Equal-width bins of the expected calibration error. */
export const BINS = 15;

/** Answers whose confidence lies in (low, high]; the first bin holds 0, too. */
export interface ReliabilityBin {
  readonly low: number;
  readonly high: number;
  readonly n: number;
  /** means; NaN when n is 0 */
  readonly confidence: number;
  readonly accuracy: number;
}

export interface Calibration {
  readonly n: number;
  /** Σ_bins n_bin/n · |accuracy − mean confidence|, in [0, 1]; NaN when n is 0 */
  readonly ece: number;
  readonly bins: readonly ReliabilityBin[];
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/**
 * Expected calibration error over 15 equal-width bins.
 * Source: Guo et al. 2017 (arXiv:1706.04599), equations 2 and 3.
 */
export function calibrationError(
  confidences: readonly number[],
  correct: readonly boolean[],
  bins = BINS,
): Calibration {
  const members: number[][] = Array.from({ length: bins }, () => []);
  confidences.forEach((p, i) => {
    members[Math.min(bins - 1, Math.max(0, Math.ceil(p * bins) - 1))]!.push(i);
  });
  const filled = members.map((rows, b) => ({
    low: b / bins,
    high: (b + 1) / bins,
    n: rows.length,
    confidence: mean(rows.map((i) => confidences[i]!)),
    accuracy: mean(rows.map((i) => Number(correct[i]))),
  }));
  const n = confidences.length;
  const gap = filled.reduce((s, b) => s + (b.n > 0 ? b.n * Math.abs(b.accuracy - b.confidence) : 0), 0);
  return { n, ece: gap / n, bins: filled };
}

/** Temperatures that are tried: 0.2 to 5, each 1.1 times the one before. */
export const temperatureGrid: readonly number[] = Array.from({ length: 35 }, (_, i) => 1.1 ** (i - 17));

/** −mean log-likelihood of being right or wrong, nats; confidences are kept 1e-6 away from 0 and 1. */
export function correctnessLoss(confidences: readonly number[], correct: readonly boolean[]): number {
  const losses = confidences.map((p, i) => {
    const kept = Math.min(1 - 1e-6, Math.max(1e-6, p));
    return -Math.log(correct[i] ? kept : 1 - kept);
  });
  return mean(losses);
}

/**
 * The temperature of the grid whose confidences fit best, by {@link correctnessLoss}.
 *
 * @param tempered for each answer its log probability at each temperature of the grid: Σ over its tokens of
 *   log softmax(z / T).
 */
export function fitTemperature(
  tempered: readonly (readonly number[])[],
  correct: readonly boolean[],
): { temperature: number; loss: number } {
  const losses = temperatureGrid.map((_, t) =>
    correctnessLoss(
      tempered.map((row) => Math.exp(row[t]!)),
      correct,
    ),
  );
  const best = losses.indexOf(Math.min(...losses));
  return { temperature: temperatureGrid[best]!, loss: losses[best]! };
}
