/** @file Means over questions and seeds against scipy and numpy. */
import { expect, test } from 'vitest';
import { uniform } from '../../../datasets/random.js';
import {
  average,
  difference,
  seedAccuracy,
  seedDifference,
  seedMean,
} from '../../../datasets/scoring/over-seeds.js';
import { studentT, twoSidedP } from '../../../datasets/scoring/student-t.js';

import { readGolden } from '../read-golden.js';

interface Golden {
  quantiles: { level: number; df: number; t: number }[];
  pValues: { t: number; df: number; p: number }[];
  paired: { n: number; onlyA: number; onlyB: number; low: number; high: number }[];
  tables: {
    table: number[][];
    mean: number;
    df: number;
    low: number;
    high: number;
    wilson: [number, number];
  }[];
}
const golden = readGolden<Golden>('over-seeds.golden.json', import.meta.url);

test('quantiles and tails of Student’s t are scipy’s', () => {
  for (const { level, df, t } of golden.quantiles)
    expect(Math.abs(studentT(level, df) / t - 1), `${level}, ${df}`).toBeLessThan(1e-8); // ln Γ of a million keeps nine digits
  for (const { t, df, p } of golden.pValues)
    expect(Math.abs(twoSidedP(t, df) - p), `${t}, ${df}`).toBeLessThan(1e-12);
});

test('intervals of one to five seeds are those of scipy', () => {
  for (const { table, mean, df, low, high, wilson } of golden.tables) {
    const plain = seedMean(table);
    for (const [own, other] of [
      [plain.mean, mean],
      [plain.df, df],
      [plain.low, low],
      [plain.high, high],
    ] as const)
      expect(own).toBeCloseTo(other, 9);
    const { low: from, high: to } = seedAccuracy(table);
    expect(from).toBeCloseTo(wilson[0]!, 9);
    expect(to).toBeCloseTo(wilson[1]!, 9);
  }
});

test('an interval of 95% holds the truth in about 95 of 100 studies, with seeds that differ', () => {
  // questions have difficulties, seeds have luck: the truth is the mean of both populations, 1/2
  const normal = (...words: (string | number)[]) =>
    Math.sqrt(-2 * Math.log(1 - uniform('a', ...words))) * Math.cos(2 * Math.PI * uniform('b', ...words));
  let held = 0;
  const studies = 600;
  for (let study = 0; study < studies; study++) {
    const luck = [0, 1, 2].map((s) => 0.08 * normal(study, s));
    const hard = Array.from({ length: 80 }, (_, q) => 0.5 + 0.3 * (uniform('hard', study, q) - 0.5));
    const table = luck.map((l, s) => hard.map((p, q) => Number(uniform('answer', study, s, q) < p + l)));
    const { low, high } = seedAccuracy(table);
    held += Number(low <= 0.5 && 0.5 <= high);
  }
  // three seeds: the t is wide on purpose, 0.95 to 0.98 were seen; 1.96 standard errors would hold 0.9
  expect(held / studies).toBeGreaterThan(0.93);
  expect(held / studies).toBeLessThan(0.99);
});

test('intervals of paired differences are Bonett and Price’s, but for t instead of z', () => {
  for (const { n, onlyA, onlyB, low, high } of golden.paired) {
    const d = Array.from({ length: n }, (_, i) => (i < onlyA ? 1 : i < onlyA + onlyB ? -1 : 0));
    const own = seedDifference([d]);
    expect(own.mean).toBe((onlyA - onlyB) / n);
    const wide = (high - low) * (1 + 3 / n); // t of n degrees of freedom, n - 1 in the variance
    expect(own.high - own.low).toBeGreaterThan(high - low);
    expect(own.high - own.low).toBeLessThan(wide);
    expect((own.high + own.low) / 2).toBeCloseTo((high + low) / 2, 12);
  }
  // four questions of 451 on one side only: exact McNemar gives p = 0.125
  expect(seedDifference([Array.from({ length: 451 }, (_, i) => Number(i < 4))]).low).toBeLessThan(0);
});

test('none right and all right have an interval with a width, within 0 and 1', () => {
  const none = seedAccuracy([Array(50).fill(0), Array(50).fill(0)]);
  expect(none.low).toBe(0);
  expect(none.high).toBeGreaterThan(0.05);
  expect(none.high).toBeLessThan(0.1);
  const all = seedAccuracy([Array(50).fill(1)]);
  expect(all.high).toBeCloseTo(1, 12);
  expect(all.low).toBeCloseTo(1 - seedAccuracy([Array(50).fill(0)]).high, 12);
});

test('paired differences do not know what questions have in common', () => {
  const hard = Array.from({ length: 200 }, (_, q) => Number(uniform('q', q) < 0.5));
  const a = [hard, hard];
  const b = a.map((row) => row.map((v, q) => (q < 10 ? 0 : v)));
  const paired = seedMean(difference(a, b));
  expect(paired.mean).toBeCloseTo(hard.slice(0, 10).reduce((s, v) => s + v, 0) / 200, 12);
  expect(paired.high - paired.low).toBeLessThan((seedMean(a).high - seedMean(a).low) / 3);
  expect(average([a, b])[0]![150]).toBe(hard[150]);
});
