import { expect, test } from 'vitest';
import { loadTokenizer } from '../../../datasets/load-tokenizer.js';
import { accuracyOf, scoreAnswers } from '../../../datasets/scoring/accuracy.js';
import { mcnemar, pairedDifference } from '../../../datasets/scoring/compare.js';
import { majorityBaseline } from '../../../datasets/scoring/majority.js';
import { isSameAnswer, isYesNo } from '../../../datasets/scoring/normalise-answer.js';
import { loadSplit } from '../../../datasets/split-file.js';
import { loadVqaRad } from '../../../datasets/vqa-rad.js';
import { readGolden } from '../read-golden.js';

test.each([
  ['x - ray', 'X-Ray'],
  ['Yes.', ' yes '],
  ['mri / flair', 'MRI/FLAIR'],
  ['left  lower\nlobe', 'left lower lobe'],
  ['fahr \u2019 s disease', 'Fahr\u2019s disease'],
  ['cafe', 'caf\u00e9'],
  ['5. 6 cm', '5.6 cm'],
  ['x - ray .', 'x-ray'],
])('%j and %j are the same answer', (a, b) => expect(isSameAnswer(a, b)).toBe(true));

test.each([
  ['yes', 'no'],
  ['left lung', 'right lung'],
  ['left lung', 'leftlung'],
  ['5.6 cm', '56 cm'],
  ['', 'no'],
])('%j and %j are different answers', (a, b) => expect(isSameAnswer(a, b)).toBe(false));

test('every answer of the dataset is the same after the tokenizer took it apart', () => {
  const tokenizer = loadTokenizer();
  for (const { answer } of loadVqaRad().questions) {
    const { ids } = tokenizer.encodeAnswer(answer, 128);
    expect(isSameAnswer(tokenizer.decode(ids), answer), answer).toBe(true);
  }
});

test('only yes and no are yes/no answers', () => {
  expect(['Yes', 'no.', 'yes, on the left', 'none', ''].map(isYesNo)).toEqual([
    true,
    true,
    false,
    false,
    false,
  ]);
});

const row = (answer: string, answerType: 'open' | 'closed', prediction: string) => ({
  answer,
  answerType,
  prediction,
});
test('each accuracy counts its own questions', () => {
  const scores = scoreAnswers([
    row('Yes', 'closed', 'yes'),
    row('no', 'closed', 'yes'),
    row('right', 'closed', 'right'),
    row('x-ray', 'open', 'x - ray'),
    row('yes', 'open', 'heart'),
    row('heart', 'open', 'lung'),
  ]);
  expect(scores.overall).toMatchObject({ n: 6, correct: 3, accuracy: 0.5 });
  expect(scores.closed).toMatchObject({ n: 3, correct: 2, accuracy: 2 / 3 });
  expect(scores.open).toMatchObject({ n: 3, correct: 1, accuracy: 1 / 3 });
  expect(scores.yesNo).toMatchObject({ n: 3, correct: 1 });
  expect(scores.notYesNo).toMatchObject({ n: 3, correct: 2 });
});

test('no questions: counts are 0 and the rest is undefined, null in JSON', () => {
  const empty = accuracyOf([]);
  expect(empty).toMatchObject({ n: 0, correct: 0 });
  expect(JSON.parse(JSON.stringify(empty)).accuracy).toBeNull();
});

test('the interval agrees with the normal approximation of a proportion', () => {
  const n = 400;
  const correct = Array.from({ length: n }, (_, i) => i < 280);
  const { accuracy, low, high } = accuracyOf(correct);
  const half = 1.96 * Math.sqrt((0.7 * 0.3) / n);
  // 2,000 resamples place an end to about 0.002.
  expect(Math.abs(low - (accuracy - half))).toBeLessThan(0.006);
  expect(Math.abs(high - (accuracy + half))).toBeLessThan(0.006);
  expect(accuracyOf(correct)).toEqual(accuracyOf(correct));
  expect(accuracyOf(correct, { seed: 1 })).not.toEqual(accuracyOf(correct));
});

test('a paired interval is narrower than that of unpaired answers', () => {
  const a = Array.from({ length: 300 }, (_, i) => i % 2 === 0);
  const b = a.map((hit, i) => (i < 20 ? false : hit)); // 10 of the 150 hits are lost
  const { n, difference, low, high } = pairedDifference(a, b);
  expect([n, difference]).toEqual([300, 10 / 300]);
  // Standard error of the paired mean: sqrt(p − p²) / sqrt(n), p = 1/30.
  const half = 1.96 * Math.sqrt((1 / 30 - 1 / 900) / 300);
  expect(Math.abs(low - (difference - half))).toBeLessThan(0.006);
  expect(Math.abs(high - (difference + half))).toBeLessThan(0.006);
  expect(pairedDifference(b, a).difference).toBe(-10 / 300);
});

const golden = readGolden<{ onlyA: number; onlyB: number; p: number }[]>(
  'compare.golden.json',
  import.meta.url,
);
test.each(golden)('McNemar of $onlyA and $onlyB equals scipy', ({ onlyA, onlyB, p }) => {
  const bothRight = 7;
  const a = [...Array(onlyA).fill(true), ...Array(onlyB).fill(false), ...Array(bothRight).fill(true)];
  const b = [...Array(onlyA).fill(false), ...Array(onlyB).fill(true), ...Array(bothRight).fill(true)];
  const result = mcnemar(a, b);
  expect(result).toMatchObject({ onlyA, onlyB });
  expect(Math.abs(result.p - p)).toBeLessThan(1e-9 * Math.max(p, 1e-3));
});

test('answers that are no pairs are a bug', () => {
  expect(() => mcnemar([true], [])).toThrow('internal');
  expect(() => pairedDifference([], [true])).toThrow('internal');
});

test('always the more frequent train answer scores 133 or 118 of the 251 yes/no test questions', () => {
  const dataset = loadVqaRad();
  const split = loadSplit(dataset, 'official');
  const of = (qids: readonly string[]) => {
    const wanted = new Set(qids);
    return dataset.questions.filter((q) => wanted.has(q.qid));
  };
  const train = of(split.train);
  const { answer, correct, yesNo } = majorityBaseline(train, of(split.test));
  const said = (word: string) => train.filter((q) => q.answer.toLowerCase() === word).length;
  expect(answer).toBe(said('yes') > said('no') ? 'yes' : 'no');
  expect(yesNo).toMatchObject({ n: 251, correct: answer === 'no' ? 133 : 118 });
  expect(correct).toHaveLength(251);
});

test('the majority is the training set\u2019s, whatever the test says', () => {
  const answers = (...words: string[]) => words.map((answer) => ({ answer }));
  const baseline = majorityBaseline(
    answers('Yes', 'yes', 'no', 'lung', 'lung', 'lung'),
    answers('no', 'no', 'yes'),
  );
  expect(baseline).toMatchObject({ answer: 'yes', correct: [false, false, true] });
});
