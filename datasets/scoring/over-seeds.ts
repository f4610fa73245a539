/** @file Means over questions and seeds, with an interval that knows both. */
import type { Interval } from './bootstrap.js';
import { studentT } from './student-t.js';

/** A value for each seed (row) and question (column); all rows are of the same questions in the same order. */
export type SeedTable = readonly (readonly number[])[];

export interface SeedMean extends Interval {
  readonly mean: number;
  /** the mean of each seed */
  readonly seeds: readonly number[];
  readonly questions: number;
  /** standard error that comes from which questions are asked, and from the seeds; 0 for a single seed */
  readonly error: { readonly questions: number; readonly seeds: number };
  /** degrees of freedom of their sum */
  readonly df: number;
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Variance of a mean of independent values; 0 of a single one. */
function varianceOfMean(values: readonly number[]): number {
  const n = values.length;
  if (n < 2) return 0;
  const m = mean(values);
  return values.reduce((s, v) => s + (v - m) ** 2, 0) / (n - 1) / n;
}

/** @throws {Error} when the rows are not of the same questions: a bug of ours. */
function check(table: SeedTable): void {
  if (table.length === 0 || table.some((row) => row.length !== table[0]!.length))
    throw new Error(`internal: rows of ${table.map((row) => row.length)} questions`);
}

/**
 * Mean with its 95% interval, questions and seeds drawn at random:
 *
 *   v = s²(question means over seeds) / Q + s²(seed means) / S,   mean ± t(df) √v
 *
 * with Welch and Satterthwaite's degrees of freedom: where seeds differ much and are few, df is near S − 1 and the
 * interval wide; where they agree, it is that of the questions. Of one seed it holds for that seed only.
 * Source: Satterthwaite 1946 (Biometrics Bulletin 2:110).
 */
export function seedMean(table: SeedTable): SeedMean {
  check(table);
  const seeds = table.map(mean);
  const byQuestion = table[0]!.map((_, q) => mean(table.map((row) => row[q]!)));
  const [vQ, vS] = [varianceOfMean(byQuestion), varianceOfMean(seeds)];
  const [dfQ, dfS] = [byQuestion.length - 1, seeds.length - 1];
  const v = vQ + vS;
  const parts = (vQ > 0 ? vQ ** 2 / dfQ : 0) + (vS > 0 ? vS ** 2 / dfS : 0);
  const df = parts > 0 ? v ** 2 / parts : Math.max(1, dfQ);
  const half = v > 0 ? studentT(0.95, df) * Math.sqrt(v) : 0;
  const m = mean(seeds);
  return {
    mean: m,
    seeds,
    questions: byQuestion.length,
    error: { questions: Math.sqrt(vQ), seeds: Math.sqrt(vS) },
    df,
    low: m - half,
    high: m + half,
  };
}

/**
 * {@link seedMean} of right (1) and wrong (0) answers, its interval that of Wilson with as many questions as would
 * give the same variance. Unlike mean ± t·error it stays within [0, 1] and has a width when no answer is right.
 * Source: Dean and Pagano 2015 (J Surv Stat Methodol 3:484), "Wilson with effective sample size".
 */
export function seedAccuracy(table: SeedTable): SeedMean {
  const plain = seedMean(table);
  const { mean: p, questions, error, df } = plain;
  const v = error.questions ** 2 + error.seeds ** 2;
  const n = v > 0 ? Math.min(questions * table.length, (p * (1 - p)) / v) : questions;
  const t2 = studentT(0.95, df) ** 2;
  const centre = (p + t2 / (2 * n)) / (1 + t2 / n);
  const half = (Math.sqrt(t2) / (1 + t2 / n)) * Math.sqrt((p * (1 - p)) / n + t2 / (4 * n * n));
  return { ...plain, low: Math.max(0, centre - half), high: Math.min(1, centre + half) };
}

/**
 * {@link seedMean} of paired differences in [-1, 1]. The interval counts one more question that speaks for each
 * side: where few questions differ, the plain one is too narrow, and has no width where none does.
 * Source: Bonett and Price 2012 (J Educ Behav Stat 37:479), "adjusted Wald"; here with t and seeds.
 */
export function seedDifference(table: SeedTable): SeedMean {
  const { low, high, error, df } = seedMean(table.map((row) => [...row, 1, -1]));
  return { ...seedMean(table), low: Math.max(-1, low), high: Math.min(1, high), error, df };
}

/** Element by element A − B: the table of paired differences. */
export const difference = (a: SeedTable, b: SeedTable): SeedTable =>
  a.map((row, s) => row.map((value, q) => value - b[s]![q]!));

/** Element by element mean of several tables of the same size. */
export const average = (tables: readonly SeedTable[]): SeedTable =>
  tables[0]!.map((row, s) => row.map((_, q) => mean(tables.map((t) => t[s]![q]!))));
