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

/** Exact-match accuracies, see `normaliseAnswer`. */
export function scoreAnswers(rows: readonly AnsweredQuestion[], options?: BootstrapOptions): Scores {
  const of = (keep: (row: AnsweredQuestion) => boolean) =>
    accuracyOf(
      rows.filter(keep).map((row) => isSameAnswer(row.prediction, row.answer)),
      options,
    );
  return {
    overall: of(() => true),
    closed: of((row) => row.answerType === 'closed'),
    open: of((row) => row.answerType === 'open'),
    yesNo: of((row) => isYesNo(row.answer)),
    notYesNo: of((row) => !isYesNo(row.answer)),
  };
}
