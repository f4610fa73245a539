import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, expect, test } from 'vitest';
import { packageRoot } from '../../datasets/package-root.js';
import { isYesNo, normaliseAnswer } from '../../datasets/scoring/normalise-answer.js';
import { cleanRow } from '../../datasets/vqa-rad/clean.js';
import { loadVqaRad } from '../../datasets/vqa-rad.js';
import { FileError } from '../../graph-builder/errors.js';

const dataset = loadVqaRad();
const { questions } = dataset;
const imageIds = [...new Set(questions.map((q) => q.imageId))];
const scratch = mkdtempSync(join(tmpdir(), 'vqa-rad-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const count = <T>(rows: readonly T[], keep: (row: T) => boolean) => rows.filter(keep).length;

// Counts of the published set, taken from the published files by other means.
test('the shipped rows have the published counts', () => {
  expect(questions).toHaveLength(3515);
  expect(count(questions, (q) => q.phraseType === 'frame')).toBe(1267);
  const train = questions.filter((q) => q.set === 'train' && q.phraseType !== 'frame');
  const published = questions.filter((q) => q.set === 'test');
  expect([train.length, published.length]).toEqual([1797, 451]);
  expect([
    count(train, (q) => q.answerType === 'closed'),
    count(train, (q) => q.answerType === 'open'),
  ]).toEqual([1027, 770]);
  expect(count(published, (q) => q.answerType === 'closed')).toBe(272);
  expect(count(published, (q) => q.answerType === 'open')).toBe(179);
  expect(count(published, (q) => normaliseAnswer(q.answer) === 'no')).toBe(133);
  expect(count(published, (q) => normaliseAnswer(q.answer) === 'yes')).toBe(118);
  expect(count([...train, ...published], (q) => isYesNo(q.answer))).toBe(1193);
  expect(new Set([...train, ...published].map((q) => q.answer.toLowerCase())).size).toBe(517);
});

test('no row keeps a published flaw', () => {
  const types = new Set(questions.flatMap((q) => q.questionType!.split(', ')));
  expect([...types].sort()).toEqual([
    'ABN',
    'ATTRIB',
    'COLOR',
    'COUNT',
    'MODALITY',
    'ORGAN',
    'OTHER',
    'PLANE',
    'POS',
    'PRES',
    'SIZE',
  ]);
  for (const { question, answer } of questions) {
    for (const text of [question, answer]) {
      expect(text).toBe(text.trim());
      expect(text).not.toMatch(/\s\s|[\t\n\uFFFD]/);
    }
  }
});

test('cleaning mends slips and leaves words alone', () => {
  const row = {
    qid: 7,
    image_name: 'synpic1.jpg ',
    image_organ: 'HEAD',
    question: ' Is  the\tmass\nlarge? ',
    answer: 3,
    answer_type: 'CLOSED ',
    question_type: 'ATRIB, Other',
    phrase_type: 'para',
  } as const;
  expect(cleanRow(row, 'test')).toEqual({
    qid: '7',
    imageId: 'synpic1.jpg',
    question: 'Is the mass large?',
    answer: '3',
    answerType: 'closed',
    questionType: 'ATTRIB, OTHER',
    organ: 'HEAD',
    phraseType: 'para',
    set: 'test',
  });
});

test('every image with a question ships, decodes, and is at most 480 pixels long', async () => {
  const folder = join(packageRoot(), 'datasets', 'vqa-rad', 'images');
  expect(readdirSync(folder).sort()).toEqual([...imageIds].sort());
  expect(imageIds).toHaveLength(314);
  let sizeBytes = 0;
  for (const imageId of imageIds) {
    const path = dataset.imagePath(imageId);
    const { width, height } = (await sharp(path).raw().toBuffer({ resolveWithObject: true })).info;
    expect(Math.max(width, height)).toBeLessThanOrEqual(480);
    expect(Math.max(width, height)).toBeGreaterThan(200);
    sizeBytes += statSync(path).size;
  }
  expect(sizeBytes).toBeLessThan(10e6);
});

/** A copy of the dataset folder with `text` as its questions, and the given images. */
function folderWith(name: string, text: string, images: readonly string[]): string {
  const root = join(scratch, name);
  mkdirSync(join(root, 'images'), { recursive: true });
  for (const id of images) cpSync(dataset.imagePath(id), join(root, 'images', id));
  writeFileSync(join(root, 'questions.json'), text);
  return root;
}
const rows = questions.filter((q) => q.imageId === imageIds[0]);
const shippedText = readFileSync(join(packageRoot(), 'datasets', 'vqa-rad', 'questions.json'), 'utf8');

test('a folder of the same form loads', () => {
  const root = folderWith('good', JSON.stringify(rows), [imageIds[0]!]);
  expect(loadVqaRad(root).questions).toEqual(rows);
});

test.each([
  ['cut off', shippedText.slice(0, 5000), /damaged or truncated JSON of 5000 characters/],
  ['without answer', JSON.stringify([{ ...rows[0], answer: undefined }]), /answer/],
  ['with a path as image', JSON.stringify([{ ...rows[0], imageId: '../x.jpg' }]), /no \. or \.\./],
  ['with a qid twice', JSON.stringify([rows[0], rows[0]]), /qid \d+ twice/],
  [
    'with a missing image',
    JSON.stringify([{ ...rows[0], imageId: 'gone.jpg' }]),
    /1 images are missing.*gone/,
  ],
])('a questions file %s is refused', (name, text, message) => {
  const root = folderWith(name, text, [imageIds[0]!]);
  expect(() => loadVqaRad(root)).toThrow(FileError);
  expect(() => loadVqaRad(root)).toThrow(message);
  expect(() => loadVqaRad(root)).toThrow(/where: [\s\S]*to do: reinstall/);
});

test('a folder that is not there is named', () => {
  expect(() => loadVqaRad(join(scratch, 'none'))).toThrow(/file not found\n {2}where: .*none/);
});
