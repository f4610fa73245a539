/** @file Accuracy of answers, by kind of question. */
import type { Question } from '../dataset.js';
import { type BootstrapOptions, bootstrapMean, type Interval } from './bootstrap.js';
import { isSameAnswer, isYesNo } from './normalise-answer.js';

/** `low` and `high` bound the 95% interval of `accuracy`; all three are NaN when n is 0. */
export interface Accuracy extends Interval {
  readonly n: number;
  readonly correct: number;
  /** In [0, 1]. */
  readonly accuracy: number;
}

export function accuracyOf(correct: readonly boolean[], options?: BootstrapOptions): Accuracy {
  const hits = correct.map(Number);
  const sum = hits.reduce((a, b) => a + b, 0);
  return { n: hits.length, correct: sum, accuracy: sum / hits.length, ...bootstrapMean(hits, options) };
}

/** A reference answer with what the model said. */
export interface AnsweredQuestion extends Pick<Question, 'answer' | 'answerType'> {
  readonly prediction: string;
}

export interface Scores {
  readonly overall: Accuracy;
  /** By the published `answerType`. */
  readonly closed: Accuracy;
  readonly open: Accuracy;
  /** By the reference answer: yes or no, and all the others. */
  readonly yesNo: Accuracy;
  readonly notYesNo: Accuracy;
}

export type QuestionKind = keyof Scores;

/** Which questions a kind has. */
const kinds: Readonly<Record<QuestionKind, (row: AnsweredQuestion) => boolean>> = {
  overall: () => true,
  closed: (row) => row.answerType === 'closed',
  open: (row) => row.answerType === 'open',
  yesNo: (row) => isYesNo(row.answer),
  notYesNo: (row) => !isYesNo(row.answer),
};

/** The same summary of every kind's rows. */
export const byKind = <R extends AnsweredQuestion, T>(
  rows: readonly R[],
  summary: (rows: readonly R[]) => T,
): Record<QuestionKind, T> =>
  Object.fromEntries(
    Object.entries(kinds).map(([kind, keep]) => [kind, summary(rows.filter(keep))]),
  ) as Record<QuestionKind, T>;

export const exactMatch = (rows: readonly AnsweredQuestion[], options?: BootstrapOptions): Accuracy =>
  accuracyOf(
    rows.map((row) => isSameAnswer(row.prediction, row.answer)),
    options,
  );

/** Exact-match accuracies, see `normaliseAnswer`. */
export const scoreAnswers = (rows: readonly AnsweredQuestion[], options?: BootstrapOptions): Scores =>
  byKind(rows, (some) => exactMatch(some, options));
