/** @file Scores of rows with their intervals, and rows compared on the same questions. */
import { mcnemar } from '../../../datasets/scoring/compare.js';
import {
  average,
  difference,
  type SeedMean,
  type SeedTable,
  seedAccuracy,
  seedDifference,
} from '../../../datasets/scoring/over-seeds.js';
import type { Collected, RowResult, RunResult } from './collect.js';

export interface RowScores {
  /** others than yes and no */
  readonly open: SeedMean;
  /** answered yes or no */
  readonly closed: SeedMean;
  readonly all: SeedMean;
}

/** 1 for right, 0 for wrong, of the questions that are kept. */
const tableOf = (runs: readonly RunResult[], keep: readonly boolean[]): SeedTable =>
  runs.map(({ answers }) => answers.filter((_, i) => keep[i]).map(({ correct }) => Number(correct)));

export function scoresOf({ runs }: RowResult, { yesNo }: Collected): RowScores {
  const of = (keep: readonly boolean[]) => seedAccuracy(tableOf(runs, keep));
  return { open: of(yesNo.map((y) => !y)), closed: of(yesNo), all: of(yesNo.map(() => true)) };
}

/** The seeds that all of some rows have; none when a row is missing. */
function commonSeeds(rows: readonly RowResult[]): number[] {
  const [first, ...rest] = rows.map(({ runs }) => runs.map(({ seed }) => seed));
  return (first ?? []).filter((seed) => rest.every((seeds) => seeds.includes(seed)));
}

/** The base has no seeds: it stands beside each. */
const runsOf = ({ row, runs }: RowResult, seeds: readonly number[]): RunResult[] =>
  row.trained ? seeds.map((seed) => runs.find((r) => r.seed === seed)!) : seeds.map(() => runs[0]!);

const all = (runs: readonly RunResult[]): SeedTable =>
  tableOf(
    runs,
    runs[0]!.answers.map(() => true),
  );

/**
 * Mean of rows A minus mean of rows B over all questions, paired by question and seed.
 * Undefined when the rows have no seed in common.
 */
export function contrast(a: readonly RowResult[], b: readonly RowResult[]): SeedMean | undefined {
  const trained = [...a, ...b].filter(({ row }) => row.trained);
  const seeds = trained.length > 0 ? commonSeeds(trained) : [0];
  if (a.length === 0 || b.length === 0 || seeds.length === 0) return undefined;
  const side = (rows: readonly RowResult[]) => average(rows.map((row) => all(runsOf(row, seeds))));
  return seedDifference(difference(side(a), side(b)));
}

/** The numbers of two rows do not tell them apart. */
export const isTie = ({ low, high }: SeedMean): boolean => low <= 0 && high >= 0;

export interface Comparison {
  readonly a: string;
  readonly b: string;
  /** accuracy of A minus accuracy of B, paired */
  readonly difference: SeedMean;
  readonly tie: boolean;
  /** exact McNemar test of each seed */
  readonly p: readonly number[];
}

export function compareRows(a: RowResult, b: RowResult): Comparison | undefined {
  const found = contrast([a], [b]);
  if (!found) return undefined;
  const trained = [a, b].filter(({ row }) => row.trained);
  const seeds = trained.length > 0 ? commonSeeds(trained) : [0];
  const right = (row: RowResult) => runsOf(row, seeds).map(({ answers }) => answers.map((q) => q.correct));
  const [ofA, ofB] = [right(a), right(b)];
  const p = seeds.map((_, s) => mcnemar(ofA[s]!, ofB[s]!).p);
  return { a: a.row.id, b: b.row.id, difference: found, tie: isTie(found), p };
}

/**
 * Share of questions that two rows answer alike, right or wrong, over their common seeds; of a row with itself: over
 * its pairs of seeds. Undefined where there is no pair.
 */
export function agreement(a: RowResult, b: RowResult): number | undefined {
  const same = (x: RunResult, y: RunResult) =>
    x.answers.filter(({ normal }, i) => normal === y.answers[i]!.normal).length / x.answers.length;
  const pairs: [RunResult, RunResult][] = [];
  if (a === b) for (const x of a.runs) for (const y of a.runs) if (x.seed < y.seed) pairs.push([x, y]);
  if (a !== b) {
    const trained = [a, b].filter(({ row }) => row.trained);
    const seeds = commonSeeds(trained);
    for (const [i] of seeds.entries()) pairs.push([runsOf(a, seeds)[i]!, runsOf(b, seeds)[i]!]);
  }
  return pairs.length === 0 ? undefined : pairs.reduce((sum, [x, y]) => sum + same(x, y), 0) / pairs.length;
}
