/** @file Draws splits that share no image, patient or wording. Pure. */
import type { Question } from '../dataset.js';
import { shuffled } from '../random.js';
import { type SplitLists, sorted, wordsOf } from '../split.js';
import { Groups } from './image-facts.js';

export const splitKeys = ['image', 'patient', 'question'] as const;
export type SplitKey = (typeof splitKeys)[number];

export interface DrawOptions {
  readonly by: SplitKey;
  readonly seed: number;
  /** shares of the questions */
  readonly test: number;
  readonly validation: number;
  /** images that show the same: they stay together, but by question */
  readonly copies: readonly (readonly string[])[];
}

/** Questions that must stay together, by a name that the order of the rows does not change. */
function together(questions: readonly Question[], { by, copies }: DrawOptions): Map<string, Question[]> {
  const groups = new Groups();
  if (by !== 'question')
    for (const [first, ...rest] of copies)
      for (const id of rest) groups.join(`image ${first!}`, `image ${id}`);
  if (by === 'patient')
    for (const { imageId, patient } of questions)
      if (patient !== undefined) groups.join(`image ${imageId}`, `patient ${patient}`);
  const rows = new Map<string, Question[]>();
  for (const q of questions) {
    const root = by === 'question' ? wordsOf(q.question) : groups.find(`image ${q.imageId}`);
    const group = rows.get(root);
    if (group) group.push(q);
    else rows.set(root, [q]);
  }
  const named = [...rows.values()].map((group): [string, Question[]] => [
    by === 'question' ? wordsOf(group[0]!.question) : sorted(group.map((q) => q.imageId))[0]!,
    group,
  ]);
  return new Map(named.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The organ that most questions of a group are about. */
function organOf(group: readonly Question[]): string {
  const counts = new Map<string, number>();
  for (const { organ = '' } of group) counts.set(organ, (counts.get(organ) ?? 0) + 1);
  return [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))[0]![0];
}

/**
 * Disjoint lists, stratified by organ: of each organ about the shares asked for, in questions. A group goes to a part
 * if at least half of it still fits.
 *
 * @returns the same lists for the same rows in any order.
 */
export function drawParts(questions: readonly Question[], options: DrawOptions): SplitLists {
  const { by, seed } = options;
  const strata = new Map<string, Question[][]>();
  for (const group of together(questions, options).values()) {
    const organ = organOf(group);
    const stratum = strata.get(organ);
    if (stratum) stratum.push(group);
    else strata.set(organ, [group]);
  }
  const lists = { train: [] as string[], validation: [] as string[], test: [] as string[] };
  for (const organ of sorted(strata.keys())) {
    const groups = shuffled(strata.get(organ)!, seed, 'parts', by, organ);
    const total = groups.reduce((n, group) => n + group.length, 0);
    const filled = { test: 0, validation: 0 };
    for (const group of groups) {
      const part = (['test', 'validation'] as const).find(
        (name) => filled[name] + group.length / 2 <= options[name] * total && options[name] > 0,
      );
      if (part) filled[part] += group.length;
      lists[part ?? 'train'].push(...group.map((q) => q.qid));
    }
  }
  return { train: sorted(lists.train), validation: sorted(lists.validation), test: sorted(lists.test) };
}
