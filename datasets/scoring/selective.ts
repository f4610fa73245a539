/** @file Answering only what one is sure of: risk against coverage, and the confidence below which to abstain. */

export interface CoveragePoint {
  /** share of the questions that are answered: the most confident ones */
  readonly coverage: number;
  /** share of wrong answers among them */
  readonly risk: number;
  /** the least confidence among them */
  readonly threshold: number;
}

export interface RiskCoverage {
  readonly points: readonly CoveragePoint[];
  /** mean of the risk over coverages 1/n, 2/n … 1; NaN of no answers */
  readonly aurc: number;
  /** the least that any order of the same answers can have */
  readonly best: number;
}

/** Mean over k of errors among the k most confident / k. */
function areaUnder(errors: readonly number[]): number {
  let wrong = 0;
  const risks = errors.map((e, i) => {
    wrong += e;
    return wrong / (i + 1);
  });
  return risks.reduce((a, b) => a + b, 0) / risks.length;
}

/**
 * Risk-coverage curve and the area under it. Answers of equal confidence stand or fall together: within a tie
 * each counts as the tie's mean error, so that the order of the rows plays no part, and the curve has one point.
 * Source: Geifman, Uziel and El-Yaniv 2019 (arXiv:1805.08206), section 2.
 */
export function riskCoverage(confidences: readonly number[], correct: readonly boolean[]): RiskCoverage {
  const n = confidences.length;
  const order = [...confidences.keys()].sort((a, b) => confidences[b]! - confidences[a]!);
  const points: CoveragePoint[] = [];
  const errors: number[] = [];
  let wrong = 0;
  for (let at = 0; at < n; ) {
    const threshold = confidences[order[at]!]!;
    let end = at;
    while (end < n && confidences[order[end]!] === threshold) end += 1;
    const tied = order.slice(at, end).filter((i) => !correct[i]).length;
    for (let i = at; i < end; i++) errors.push(tied / (end - at));
    wrong += tied;
    points.push({ coverage: end / n, risk: wrong / end, threshold });
    at = end;
  }
  const sorted = [...correct].sort((a, b) => Number(b) - Number(a)).map((right) => Number(!right));
  return { points, aurc: areaUnder(errors), best: areaUnder(sorted) };
}

/** Fewer answered questions than this say nothing about a risk. */
const LEAST = 20;

/**
 * The point that answers most with a risk of at most `risk`, among those with at least 20 answers; undefined
 * when no threshold keeps the risk that low.
 */
export const chooseThreshold = (
  { points }: RiskCoverage,
  n: number,
  risk: number,
): CoveragePoint | undefined =>
  points.findLast((point) => point.risk <= risk && Math.round(point.coverage * n) >= Math.min(LEAST, n));
