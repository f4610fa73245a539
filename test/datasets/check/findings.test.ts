import { describe, expect, test } from 'vitest';
import {
  balance,
  contradictions,
  duplicates,
  emptyParts,
  type Finding,
  identifiers,
  imageCopies,
  leakage,
  texts,
} from '../../../datasets/check/findings.js';
import type { ImageFact } from '../../../datasets/check/image-facts.js';
import { type Parts, partsOf } from '../../../datasets/check/parts.js';
import { summarise, textFacts } from '../../../datasets/check/summary.js';
import { chooseSplit } from '../../../datasets/choose-split.js';
import type { Question } from '../../../datasets/dataset.js';
import { loadTokenizer } from '../../../datasets/load-tokenizer.js';
import { isYesNo } from '../../../datasets/scoring/normalise-answer.js';
import { loadVqaRad } from '../../../datasets/vqa-rad.js';

const counts = (found: readonly Finding[]) => Object.fromEntries(found.map((f) => [f.name, f.count]));

let next = 0;
const row = (imageId: string, question: string, answer: string, more: Partial<Question> = {}): Question => ({
  qid: `${++next}`,
  imageId,
  question,
  answer,
  answerType: isYesNo(answer) ? 'closed' : 'open',
  ...more,
});
const parts = (train: Question[], validation: Question[], test: Question[]): Parts => ({
  train,
  validation,
  test,
});

describe('VQA-RAD', () => {
  const dataset = loadVqaRad();
  const official = partsOf(dataset.questions, chooseSplit(dataset, 'official'));
  const image = partsOf(dataset.questions, chooseSplit(dataset, 'image'));

  test('the overlap that the data set card states: 3 duplicates in train, 1 pair in both, 202 of 203 images', () => {
    expect(counts(duplicates(official))).toEqual({
      'duplicates in training': 3,
      'test questions in training': 1,
    });
    const leaks = leakage(official);
    expect(counts(leaks)).toEqual({ 'test images in training': 202, 'test wordings in training': 1 });
    expect(leaks[0]!.says).toContain('of the 203 images in test');
    expect(leaks[0]!.examples).toHaveLength(202);
    expect(contradictions(official)).toEqual([]);
  });

  test('the image split shares nothing', () => {
    expect(leakage(image)).toEqual([]);
    expect(identifiers(dataset.questions)).toEqual([]);
  });

  test('counts and baselines as stated in shared notes and scored by the majority', () => {
    const { parts: p, inNoPart, columns, majority } = summarise(dataset.questions, official);
    expect(p.train.questions + p.validation.questions).toBe(1797);
    expect(p.test).toMatchObject({ questions: 451, images: 203, closed: 272, open: 179, yes: 118, no: 133 });
    expect(inNoPart).toBe(1267);
    expect(Object.keys(columns)).toEqual(['organ', 'questionType']);
    expect(majority).toMatchObject({ yesNoAnswer: 'no', yesNo: 133 / 251, anyAnswer: 'no', all: 133 / 451 });
  });
});

test('duplicates and contradictions are told apart; case, blanks and punctuation do not matter', () => {
  const p = parts(
    [row('a', 'Is it a CT?', 'Yes'), row('a', 'is it a  ct', 'yes.'), row('b', 'Is it a CT?', 'yes')],
    [row('b', 'Where?', 'left')],
    [row('b', 'where', 'right'), row('a', 'Is it a CT', 'yes'), row('a', 'Is it a CT', 'Yes')],
  );
  expect(counts([...duplicates(p), ...contradictions(p)])).toEqual({
    'duplicates in training': 1,
    'duplicates in test': 1,
    'test questions in training': 2,
    'contradictory answers': 1,
  });
  expect(contradictions(p)[0]!.examples[0]).toMatch(/b 'Where\?' 'left' \/ 'right'$/);
});

test('images, patients and wordings in several parts; pseudonyms are not repeated', () => {
  const p = parts(
    [row('a', 'q1?', 'x', { patient: 'Miller 77' }), row('b', 'q2?', 'x', { patient: 'P2' })],
    [row('b', 'q3?', 'x', { patient: 'P2' })],
    [row('c', 'q1?', 'x', { patient: 'Miller 77' }), row('b', 'q2', 'y', { patient: 'P2' })],
  );
  const found = leakage(p);
  expect(counts(found)).toEqual({
    'test images in training': 1,
    'test patients in training': 2,
    'test wordings in training': 1,
    'validation images in training': 1,
    'validation patients in training': 1,
  });
  expect(JSON.stringify(found)).not.toMatch(/Miller|77/);
});

test('copies of an image under other names, by bytes and by look', () => {
  const fact = (sha256: string, bits: number): ImageFact => ({
    width: 1,
    height: 1,
    sha256,
    print: { thumbnail: new Uint8Array(1024), hash: [0, bits] },
  });
  const images = new Map([
    ['a', fact('1', 0)],
    ['b', fact('1', 0)],
    ['c', fact('2', 0b111)],
    ['d', fact('3', 0xffffffff)],
  ]);
  const p = parts([row('a', 'q', 'x'), row('b', 'q', 'x'), row('d', 'q', 'x')], [], [row('c', 'q', 'x')]);
  const found = imageCopies(p, { images, unreadable: [{ imageId: 'e', reason: 'empty' }] });
  expect(counts(found)).toEqual({
    'equal image files': 1,
    'images that look the same': 2,
    'lookalikes across parts': 2,
    'unreadable images': 1,
  });
});

test.each([
  ['DOE^JOHN.png', 'XXX^XXXX (a name with caret or comma)'],
  ['ct/Müller, Eva/1.png', 'xx/Xxxxxx, Xxx/9 (a name with caret or comma)'],
  ['MRN-0012345_a.jpg', 'XXX-9999999_x (a record number)'],
  ['patient_00417/7.png', 'xxxxxxx_99999/9 (a record number)'],
  ['ct_2019-03-28.png', 'xx_9999-99-99 (a date)'],
  ['28.03.1957.jpg', '99.99.9999 (a date)'],
  ['20190328.jpg', '99999999 (a date)'],
  ['scan1234567890.jpg', 'xxxx9999999999 (a long number)'],
  ['Herr_Schmidt.png', 'Xxxx_Xxxxxxx (a title)'],
  ['1.2.840.113619.2.55.3.1.dcm', '9.9.999.999999.9.99.9.9 (a DICOM identifier)'],
])('the name %s is reported by its shape', (name, shape) => {
  expect(identifiers([row(name, 'q', 'a')])).toMatchObject([{ count: 1, examples: [shape] }]);
});

test.each([
  'synpic100132.jpg',
  'xmlab281/source.jpg',
  'PMC1064097_F1.jpg',
  'train_0422.jpg',
  'img-2019.png',
  'MR_Brain_01.png',
  'DR Chest PA.png',
  '02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.jpg',
  '8e3b9c1f0a7d4455b6c7d8e9f0a1b2c3.png',
  '123e4567-e89b-12d3-a456-426614174000.png',
])('the name %s is none', (name) => expect(identifiers([row(name, 'q', 'a')])).toEqual([]));

test('texts longer than the model takes, and another language', () => {
  const long = `${'word '.repeat(40)}?`;
  const rows = [row('a', long, 'yes'), row('a', 'why?', 'one two three four five six seven eight nine')];
  const limits = { question: 35, answer: 10 };
  const facts = textFacts(rows, loadTokenizer(), limits);
  expect(facts).toMatchObject({ questionsCut: 1, answersCut: 1, longestQuestion: 43, longestAnswer: 11 });
  expect(counts(texts(facts, limits))).toEqual({ 'questions cut': 1, 'answers cut': 1 });
  const strange = textFacts([row('a', '\u{1F600} ok', 'ok')], loadTokenizer(), limits);
  expect(strange.unknownShare).toBeCloseTo(1 / 3);
  expect(counts(texts(strange, limits))).toEqual({ 'unknown tokens': 1 });
});

test('one-sided answers, and parts without questions', () => {
  const yes = Array.from({ length: 4 }, () => row('a', 'q', 'Yes'));
  const p = parts([...yes, row('a', 'q', 'no')], [], [row('a', 'q', 'no'), row('a', 'q', 'yes')]);
  expect(balance(p).map((f) => f.says)).toEqual(['80% of 5 yes/no questions are answered yes']);
  expect(counts(emptyParts(p))).toEqual({ 'no validation questions': 1 });
});
