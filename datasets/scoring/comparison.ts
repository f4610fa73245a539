/** @file Two models on the same questions: who is better, how surely, and where they differ. */
import { type AnsweredQuestion, byKind, type QuestionKind } from './accuracy.js';
import type { BootstrapOptions } from './bootstrap.js';
import { type McNemar, mcnemar, type PairedDifference, pairedDifference } from './compare.js';
import { isSameAnswer } from './normalise-answer.js';

/** A question with both answers. */
export interface ComparedRow extends Omit<AnsweredQuestion, 'prediction'> {
  readonly qid: string;
  readonly question: string;
  readonly a: string;
  readonly b: string;
}

export interface KindComparison {
  readonly n: number;
  readonly accuracyA: number;
  readonly accuracyB: number;
  /** A minus B */
  readonly paired: PairedDifference;
  readonly mcnemar: McNemar;
}

/** A question that only one of them answers right. */
export interface Flip extends ComparedRow {
  readonly right: 'a' | 'b';
}

export interface Comparison {
  readonly kinds: Record<QuestionKind, KindComparison>;
  readonly flips: readonly Flip[];
}

const shareOf = (correct: readonly boolean[]): number => correct.filter(Boolean).length / correct.length;

function compareKind(rows: readonly ComparedRow[], options?: BootstrapOptions): KindComparison {
  const correct = (who: 'a' | 'b') => rows.map((row) => isSameAnswer(row[who], row.answer));
  const [a, b] = [correct('a'), correct('b')];
  return {
    n: rows.length,
    accuracyA: shareOf(a),
    accuracyB: shareOf(b),
    paired: pairedDifference(a, b, options),
    mcnemar: mcnemar(a, b),
  };
}

/** By exact match. */
export function compareAnswers(rows: readonly ComparedRow[], options?: BootstrapOptions): Comparison {
  const asAnswered = rows.map((row) => ({ ...row, prediction: row.a }));
  const flips = rows.flatMap((row): Flip[] => {
    const [a, b] = [isSameAnswer(row.a, row.answer), isSameAnswer(row.b, row.answer)];
    return a === b ? [] : [{ ...row, right: a ? 'a' : 'b' }];
  });
  return { kinds: byKind(asAnswered, (some) => compareKind(some, options)), flips };
}
