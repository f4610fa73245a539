/** @file What can be scored without looking: the most frequent answer. */
import type { Question } from '../dataset.js';
import { type Accuracy, accuracyOf } from './accuracy.js';
import type { BootstrapOptions } from './bootstrap.js';
import { isSameAnswer, isYesNo, normaliseAnswer } from './normalise-answer.js';

type Answered = Pick<Question, 'answer'>;

export interface MajorityBaseline {
  /** "yes" or "no", whichever more train questions have; "no" when equal. */
  readonly answer: 'yes' | 'no';
  /** Whether it is right, for each yes/no question of the test, in order. */
  readonly correct: readonly boolean[];
  readonly yesNo: Accuracy;
}

/** Always the more frequent of the training's yes/no answers, scored on the test's yes/no questions. */
export function majorityBaseline(
  train: readonly Answered[],
  test: readonly Answered[],
  options?: BootstrapOptions,
): MajorityBaseline {
  const asked = train.filter((q) => isYesNo(q.answer));
  const yes = asked.filter((q) => normaliseAnswer(q.answer) === 'yes').length;
  const answer = 2 * yes > asked.length ? 'yes' : 'no';
  const correct = test.filter((q) => isYesNo(q.answer)).map((q) => isSameAnswer(q.answer, answer));
  return { answer, correct, yesNo: accuracyOf(correct, options) };
}
