import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { chooseSplit } from '../../datasets/choose-split.js';
import type { Dataset, Question, SetName } from '../../datasets/dataset.js';
import { rowsHash, splitHash } from '../../datasets/split-file.js';
import { loadVqaRad } from '../../datasets/vqa-rad.js';
import { temporaryFolder } from '../runtime/node/runs.js';

const folder = temporaryFolder();
const row = (n: number, set?: SetName): Question => ({
  qid: `${n}`,
  imageId: `${n >> 1}.png`,
  question: 'q',
  answer: 'a',
  answerType: 'open',
  ...(set && { set }),
});
const dataset = (questions: Question[]): Dataset => ({
  name: 'own',
  licence: 'own',
  questions,
  notes: [],
  skipped: [],
  imagePath: (id) => id,
});
const own = dataset([
  ...Array.from({ length: 60 }, (_, i) => row(i, 'train')),
  ...Array.from({ length: 20 }, (_, i) => row(60 + i, 'test')),
]);
const set = (from: number, to: number) => new Set(Array.from({ length: to - from }, (_, i) => `${from + i}`));

test('official takes the validation of the data set', () => {
  const given = dataset(own.questions.map((q, i) => (i < 10 ? { ...q, set: 'validation' } : q)));
  const { train, validation, test: tested, notes } = chooseSplit(given, 'official');
  expect([new Set(validation), new Set(train), new Set(tested)]).toEqual([
    set(0, 10),
    set(10, 60),
    set(60, 80),
  ]);
  expect(notes).toEqual([]);
});

test('else a tenth of the training images, with all their questions', () => {
  const { train, validation, test: tested } = chooseSplit(own, 'official');
  expect(new Set(tested)).toEqual(set(60, 80));
  expect(validation).toHaveLength(6);
  const images = new Set(validation.map((qid) => Number(qid) >> 1));
  expect(images.size).toBe(3);
  expect(train.some((qid) => images.has(Number(qid) >> 1))).toBe(false);
});

const lists = { train: ['1', '2'], validation: ['3'], test: ['4'] };
const drawn = {
  dataset: 'own',
  by: 'image',
  testShare: 0.2,
  validationShare: 0.1,
  nearDuplicateBits: 6,
  rowsSha256: rowsHash(own.questions),
};
function write(json: object): string {
  const file = join(folder, 'split.json');
  writeFileSync(
    file,
    JSON.stringify({ name: 'image', seed: 0, ...lists, sha256: splitHash(lists), ...json }),
  );
  return file;
}

test('a file gives its lists, and says which rows are in none and whether rows have changed', () => {
  const file = write({ drawn });
  expect(chooseSplit(own, file)).toMatchObject({
    ...lists,
    notes: [`76 questions are in no part of ${file}`],
  });
  const changed = dataset(own.questions.map((q) => ({ ...q, answer: 'b' })));
  expect(chooseSplit(changed, file).notes[1]).toBe(`the rows have changed since ${file} was drawn`);
});

test('the hash of the rows is that of their lines, in order', () => {
  // printf '["0","0.png","q","a"]\n["1","0.png","q","a"]\n' | sha256sum
  expect(rowsHash([row(0), row(1)])).toBe('a22483649fd17715b86a6678108c7bbb929fabad54a847c4a438e68ec805d3a7');
});

test.each<[string, () => unknown, RegExp]>([
  [
    'an unknown name',
    () => chooseSplit(own, 'half'),
    /^unknown split 'half'\n.*--split\n.*official, image.*\.json/,
  ],
  [
    'official without a published split',
    () => chooseSplit(dataset([row(1), row(2)]), 'official'),
    /^the data set says of no row .*\n.*--split official\n.*--split-col.*ort-data split/,
  ],
  [
    'frame where there are none',
    () => chooseSplit(own, 'image', true),
    /^the data set has no templated .*\n.*--frame\n/,
  ],
  [
    'frame with a file',
    () => chooseSplit(loadVqaRad(), write({}), true),
    /^a split file says itself.*\n.*--frame\n/,
  ],
  ['a missing file', () => chooseSplit(own, 'none.json'), /^file not found\n.*none\.json\n.*ort-data split/],
  [
    'a changed list',
    () => chooseSplit(own, write({ test: ['5'] })),
    /^the lists have hash .*\n.*split\.json\n/,
  ],
  [
    'rows of another set',
    () => chooseSplit(dataset([row(1)]), write({})),
    /^3 qids are not of own, e\.g\. 2\n/,
  ],
])('%s', (_, choose, message) => expect(choose).toThrow(message));
