/** @file The parts of a split, as checks and counts see them. */
import type { Question } from '../dataset.js';
import type { SplitLists } from '../split.js';

export const partNames = ['train', 'validation', 'test'] as const;
export type PartName = (typeof partNames)[number];
export type Parts = Readonly<Record<PartName, readonly Question[]>>;

export function partsOf(questions: readonly Question[], lists: SplitLists): Parts {
  const byQid = new Map(questions.map((q) => [q.qid, q]));
  const pick = (qids: readonly string[]) => qids.map((qid) => byQid.get(qid)!);
  return { train: pick(lists.train), validation: pick(lists.validation), test: pick(lists.test) };
}

/** Counts of values, the most frequent first. */
export function tally(values: Iterable<string>): [string, number][] {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
}
