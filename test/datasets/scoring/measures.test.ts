/** @file Metrics against NLTK, torchmetrics and brute force (make-metrics-golden.py), and their properties. */
import { expect, test } from 'vitest';
import { calibrationError, fitTemperature, temperatureGrid } from '../../../datasets/scoring/calibration.js';
import { type MeasuredRow, measure } from '../../../datasets/scoring/measure.js';
import { chooseThreshold, riskCoverage } from '../../../datasets/scoring/selective.js';
import { bleu1, tokenF1 } from '../../../datasets/scoring/text-metrics.js';
import { yesNoConfusion } from '../../../datasets/scoring/yes-no.js';
import { readGolden } from '../read-golden.js';

interface Rated {
  readonly confidence: number[];
  readonly correct: boolean[];
}
const golden = readGolden<{
  pairs: { prediction: string; answer: string; f1: number; bleu1: number }[];
  calibration: (Rated & { ece: number })[];
  aurc: (Rated & { aurc: number })[];
}>('metrics.golden.json', import.meta.url);

test.each(golden.pairs)('$prediction for $answer: F1 as SQuAD, BLEU-1 as NLTK', (pair) => {
  // torchmetrics computes F1 in float32
  expect(Math.abs(tokenF1(pair.prediction, pair.answer) - pair.f1)).toBeLessThan(1e-6);
  expect(bleu1(pair.prediction, pair.answer)).toBeCloseTo(pair.bleu1, 12);
});

test('blanks that the tokenizer puts around punctuation do not count', () => {
  expect(tokenF1('x - ray', 'X-ray.')).toBe(1);
  expect(bleu1('x - ray', 'X-ray.')).toBe(1);
});

test('nothing said is worth nothing, unless nothing was meant', () => {
  expect([tokenF1('', 'lung'), tokenF1('the', 'a'), bleu1('', 'lung')]).toEqual([0, 1, 0]);
});

test.each(golden.calibration)('expected calibration error equals torchmetrics', (rated) => {
  const { ece, bins, n } = calibrationError(rated.confidence, rated.correct);
  expect(ece).toBeCloseTo(rated.ece, 6);
  expect(bins).toHaveLength(15);
  expect(bins.reduce((sum, b) => sum + b.n, 0)).toBe(n);
});

test('confidences of exactly 0 and 1 have bins', () => {
  const { bins, ece } = calibrationError([0, 1], [false, true]);
  expect([bins[0]!.n, bins[14]!.n, ece]).toEqual([1, 1, 0]);
});

test.each(golden.aurc)(
  'the area equals the mean over all orders of ties',
  ({ confidence, correct, aurc }) => {
    expect(riskCoverage(confidence, correct).aurc).toBeCloseTo(aurc, 12);
  },
);

test('a curve ends at the error rate; no order has less area than the best one', () => {
  const { confidence, correct } = golden.calibration[1]!;
  const { points, aurc, best } = riskCoverage(confidence, correct);
  const wrong = correct.filter((c) => !c).length / correct.length;
  expect(points.at(-1)).toMatchObject({ coverage: 1, risk: wrong });
  expect(best).toBeLessThan(aurc);
  expect(
    riskCoverage(
      correct.map((c) => Number(c)),
      correct,
    ).points[0],
  ).toMatchObject({ risk: 0 });
});

test('the threshold answers most at the risk asked for, or there is none', () => {
  const confidence = Array.from({ length: 100 }, (_, i) => 1 - i / 100);
  const correct = confidence.map((_, i) => i < 30 || i % 2 === 0);
  const curve = riskCoverage(confidence, correct);
  const chosen = chooseThreshold(curve, 100, 0.2)!;
  const kept = correct.filter((_, i) => confidence[i]! >= chosen.threshold);
  expect(kept.filter((c) => !c).length / kept.length).toBeLessThanOrEqual(0.2);
  const more = curve.points.filter((p) => p.coverage > chosen.coverage);
  expect(more.every((p) => p.risk > 0.2)).toBe(true);
  expect(
    chooseThreshold(
      riskCoverage(
        confidence,
        confidence.map(() => false),
      ),
      100,
      0.2,
    ),
  ).toBeUndefined();
});

test('a fitted temperature undoes a known one', () => {
  // two choices, z = (m, 0): p_T = 1 / (1 + e^(−m/T)); right as often as p at temperature 2 says
  const margins = Array.from({ length: 4000 }, (_, i) => 0.02 + (i % 400) / 50);
  const p = (m: number, t: number) => 1 / (1 + Math.exp(-m / t));
  const correct = margins.map((m, i) => (Math.floor(i / 400) + 0.5) / 10 < p(m, 2));
  const tempered = margins.map((m) => temperatureGrid.map((t) => Math.log(p(m, t))));
  const { temperature } = fitTemperature(tempered, correct);
  expect(Math.abs(temperature / 2 - 1)).toBeLessThan(0.1);
  const ece = (t: number) =>
    calibrationError(
      margins.map((m) => p(m, t)),
      correct,
    ).ece;
  expect(ece(temperature)).toBeLessThan(ece(1) / 2);
});

const row = (qid: string, answer: string, prediction: string, more: Partial<MeasuredRow> = {}) => ({
  qid,
  answer,
  prediction,
  answerType: 'closed' as const,
  ...more,
});
const rows = [
  row('1', 'yes', 'yes', { organ: 'HEAD', questionType: 'PRES, ABN', probability: 0.9 }),
  row('2', 'no', 'Yes', { organ: 'HEAD', questionType: 'PRES', probability: 0.8 }),
  row('3', 'No', 'yes', { organ: 'CHEST', questionType: 'ABN', probability: 0.7 }),
  row('4', 'no', 'left', { organ: 'CHEST', probability: 0.6 }),
  row('5', 'left lung', 'lung', { answerType: 'open', probability: 0.2 }),
];

test('yes and no: the table, and how much too often yes is said', () => {
  const { n, table, bias } = yesNoConfusion(rows);
  expect(n).toBe(4);
  expect(table).toEqual({ yes: { yes: 1, no: 0, other: 0 }, no: { yes: 2, no: 0, other: 1 } });
  expect(bias.mean).toBe(3 / 4 - 1 / 4);
  expect(bias.low).toBeLessThanOrEqual(bias.mean);
});

test('groups count a question of two types twice, and leave out fields that no row has', () => {
  const { groups } = measure(rows, ['groups']);
  expect(Object.keys(groups!)).toEqual(['organ', 'questionType']);
  expect(groups!.organ!.HEAD).toMatchObject({ n: 2, correct: 1 });
  expect(groups!.questionType!.ABN).toMatchObject({ n: 2, correct: 1 });
  expect(groups!.questionType!.PRES).toMatchObject({ n: 2, correct: 1 });
});

test('F1 gives part of an answer part of the score, by kind', () => {
  const { scores, f1, confidence } = measure(rows, ['f1']);
  expect(scores.open.accuracy).toBe(0);
  expect(f1!.open).toMatchObject({ n: 1, mean: 2 / 3 });
  expect(confidence).toBeUndefined();
});

test('confidence is measured only where every row has one', () => {
  expect(measure(rows, ['calibration']).confidence!.probability!.calibration.n).toBe(5);
  const some = rows.map(({ probability, ...rest }, i) => (i === 0 ? rest : { ...rest, probability }));
  expect(measure(some, ['calibration']).confidence).toBeUndefined();
});
