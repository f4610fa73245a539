/** @file Yes/no questions: what was said against what is right, and a leaning towards one of them. */
import type { AnsweredQuestion } from './accuracy.js';
import { type BootstrapOptions, bootstrapMean, type Interval } from './bootstrap.js';
import { isYesNo, normaliseAnswer } from './normalise-answer.js';

export type Said = 'yes' | 'no' | 'other';

export interface YesNoConfusion {
  /** questions with a reference answer of yes or no */
  readonly n: number;
  /** `table[reference][prediction]` */
  readonly table: Readonly<Record<'yes' | 'no', Readonly<Record<Said, number>>>>;
  /** Share of questions answered yes minus share that is yes, in [−1, 1], with its 95% interval: above 0 it says yes too often. */
  readonly bias: Interval & { readonly mean: number };
}

const saidOf = (text: string): Said => {
  const answer = normaliseAnswer(text);
  return answer === 'yes' || answer === 'no' ? answer : 'other';
};

export function yesNoConfusion(
  rows: readonly AnsweredQuestion[],
  options?: BootstrapOptions,
): YesNoConfusion {
  const table = { yes: { yes: 0, no: 0, other: 0 }, no: { yes: 0, no: 0, other: 0 } };
  const leanings = rows
    .filter((row) => isYesNo(row.answer))
    .map(({ answer, prediction }) => {
      const [right, said] = [saidOf(answer) as 'yes' | 'no', saidOf(prediction)];
      table[right][said] += 1;
      return Number(said === 'yes') - Number(right === 'yes');
    });
  const n = leanings.length;
  const mean = leanings.reduce((a, b) => a + b, 0) / n;
  return { n, table, bias: { mean, ...bootstrapMean(leanings, options) } };
}
