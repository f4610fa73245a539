/** @file Two runs on the same questions: what a change of form costs. */
import type { Accuracy } from '../../datasets/scoring/accuracy.js';
import {
  type McNemar,
  mcnemar,
  type PairedDifference,
  pairedDifference,
} from '../../datasets/scoring/compare.js';
import { type EvaluateOptions, evaluateRun } from './evaluate.js';

export interface Comparison {
  readonly before: Accuracy;
  readonly after: Accuracy;
  /** accuracy after minus before, with its 95% interval */
  readonly difference: PairedDifference;
  /** onlyA: questions that only the one before answers right */
  readonly mcnemar: McNemar;
  /** questions that get another answer, right or wrong */
  readonly changed: number;
  /** for all questions, from opening the run on */
  readonly seconds: { readonly before: number; readonly after: number };
}

/** Scores both; `checkpoint` is of the first. Predictions are written into both runs. */
export async function compareRuns(
  before: string,
  after: string,
  options: Omit<EvaluateOptions, 'onProgress'> & {
    readonly onProgress?: (done: number, total: number) => void;
  },
): Promise<Comparison> {
  const { onProgress = () => {} } = options;
  const part = (which: 0 | 1) => (done: number, total: number) => onProgress(which * total + done, 2 * total);
  const a = await evaluateRun(before, { ...options, onProgress: part(0) });
  const b = await evaluateRun(after, { ...options, checkpoint: 'auto', onProgress: part(1) });
  return {
    before: a.evaluation.scores.overall,
    after: b.evaluation.scores.overall,
    difference: pairedDifference(b.correct, a.correct),
    mcnemar: mcnemar(a.correct, b.correct),
    changed: b.rows.filter(({ prediction }, i) => prediction !== a.rows[i]!.prediction).length,
    seconds: { before: a.evaluation.seconds, after: b.evaluation.seconds },
  };
}
