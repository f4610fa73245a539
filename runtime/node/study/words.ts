/** @file What the numbers support, in words that follow from them by rule. */
import type { Collected, RowResult } from './collect.js';
import { interval, percent, signed } from './report-tables.js';
import { BASE, type StudyRun } from './row.js';
import { type Comparison, compareRows, isTie, type RowScores, scoresOf } from './scores.js';

export interface Summary {
  /** the row with the highest accuracy over all test questions */
  readonly best: RowResult;
  /** best minus each of the others */
  readonly toBest: readonly Comparison[];
  /** each trained row minus the base; empty without a base */
  readonly toBase: readonly Comparison[];
}

export function summarise(all: Collected): Summary {
  const scored = all.rows.map((row) => ({ row, mean: scoresOf(row, all).all.mean }));
  const trained = scored.filter(({ row }) => row.row.trained);
  const best = (trained.length > 0 ? trained : scored).reduce((a, b) => (b.mean > a.mean ? b : a)).row;
  const others = all.rows.filter((row) => row !== best && row.row.trained);
  const base = all.rows.find(({ row }) => row.id === BASE);
  const compared = (pairs: readonly (readonly [RowResult, RowResult])[]) =>
    pairs.map(([a, b]) => compareRows(a, b)).filter((c) => c !== undefined);
  return {
    best,
    toBest: compared(others.map((other) => [best, other])),
    toBase: base ? compared(all.rows.filter((r) => r.row.trained).map((row) => [row, base])) : [],
  };
}

const points = ({ difference: d }: Comparison): string =>
  `${signed(d.mean)} points [${signed(d.low)}, ${signed(d.high)}]`;

/** Longer lists are left to the table of comparisons. */
const MOST_NAMES = 6;

function named(ids: readonly string[], all: Collected): string {
  const labels = ids.map((id) => `\`${all.rows.find(({ row }) => row.id === id)!.row.label}\``);
  const more = labels.length - MOST_NAMES;
  return more > 1 ? `${labels.slice(0, MOST_NAMES).join(', ')} and ${more} more` : labels.join(', ');
}

/** Of yes/no questions: above what always giving one answer gets? */
function aboveMajority(scores: RowScores, majority: number): string {
  const { closed } = scores;
  if (!Number.isFinite(closed.mean)) return '';
  const far = closed.low > majority ? 'above' : closed.high < majority ? 'below' : 'not distinguishable from';
  return ` On yes/no questions it is ${far} always giving the more frequent answer (${percent(majority)}%).`;
}

/** Sentences under "What the numbers say". */
export function sentences(all: Collected, { best, toBest, toBase }: Summary): string[] {
  const scores = scoresOf(best, all);
  const { majority } = best.runs[0]!;
  const says = [
    `Best row: \`${best.row.label}\`, ${interval(scores.all)}% of all test questions.${aboveMajority(scores, majority.accuracy)}`,
  ];
  if (toBest.length > 0) {
    const ties = toBest.filter(({ tie }) => tie).map(({ b }) => b);
    const worse = toBest.filter(({ tie }) => !tie).map(({ b }) => b);
    says.push(
      ties.length > 0
        ? `Ties with it, as the interval of the paired difference reaches 0: ${named(ties, all)}.`
        : 'No row ties with it.',
    );
    if (worse.length > 0) says.push(`Worse than it: ${named(worse, all)}.`);
  }
  if (toBase.length > 0) {
    const better = toBase.filter((c) => !c.tie && c.difference.mean > 0);
    const lower = toBase.filter((c) => !c.tie && c.difference.mean < 0);
    const top = better.toSorted((a, b) => b.difference.mean - a.difference.mean)[0];
    says.push(
      top
        ? `Better than the base, not tuned: ${named(
            better.map(({ a }) => a),
            all,
          )}; the largest gain is ${points(top)}.`
        : 'No row is better than the base, not tuned, beyond its interval.',
    );
    if (lower.length > 0)
      says.push(
        `Worse than the base: ${named(
          lower.map(({ a }) => a),
          all,
        )}.`,
      );
    const ties = toBase.filter(({ difference }) => isTie(difference)).map(({ a }) => a);
    if (ties.length > 0) says.push(`Ties with the base: ${named(ties, all)}.`);
  }
  return says;
}

/** How far the spread between seeds is known. */
function seedsText(all: Collected): string {
  const trained = all.rows.filter(({ row }) => row.trained);
  const counts = (trained.length > 0 ? trained : all.rows).map(({ runs }) => runs.length);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  if (most === 1) return 'One seed: how far another one would move the scores is not in the intervals.';
  const few = 'the spread between seeds is estimated from few runs, which the intervals allow for';
  return least === most
    ? `${most} seeds: ${few}.`
    : `${least} to ${most} seeds a row: ${few}; rows are compared on the seeds that both have.`;
}

const many = (n: number, one: string, more: string): string => `${n} ${n === 1 ? one : more}`;

/** What runs that are not finished leave open. */
function missingText(all: Collected, missing: readonly StudyRun[]): string[] {
  const ids = [...new Set(missing.map(({ row }) => row.id))];
  const unseen = ids.filter((id) => !all.rows.some(({ row }) => row.id === id)).length;
  if (missing.length === 0) return [];
  const rows = unseen > 0 ? `${many(unseen, 'row is', 'rows are')} in no table yet and may be the best` : '';
  const seeds =
    ids.length > unseen
      ? `${many(ids.length - unseen, 'row has', 'rows have')} fewer seeds than planned`
      : '';
  return [
    `${many(missing.length, 'run is', 'runs are')} not finished: ${[rows, seeds].filter(Boolean).join('; ')}.`,
  ];
}

/** Sentences under "What they do not say". */
export function limits(
  all: Collected,
  { best, toBest, toBase }: Summary,
  missing: readonly StudyRun[] = [],
): string[] {
  const compared = [best.row.id, ...toBest.map(({ b }) => b)];
  const apart = all.rows.filter(({ row }) => row.trained && !compared.includes(row.id));
  const short = all.rows.filter(({ runs }) => runs.some((r) => !r.toTheEnd)).map(({ row }) => row.id);
  const tests = toBest.length + toBase.length;
  return [
    `${tests} comparisons at 95% each: about ${Math.max(1, Math.round(tests / 20))} would differ by chance alone if nothing differed. The best of many rows is partly best by luck.`,
    seedsText(all),
    ...missingText(all, missing),
    ...(apart.length > 0
      ? [
          `Not compared with the best row, as they have no seed in common with it: ${named(
            apart.map(({ row }) => row.id),
            all,
          )}.`,
        ]
      : []),
    ...(short.length > 0 ? [`Not trained to the end, and in no finding: ${named(short, all)}.`] : []),
    'Learning rates were set by group, not tuned row by row: a row may do better with its own.',
    'One data set, questions in English, answers compared by exact match: nothing is said about use for patients.',
  ];
}
