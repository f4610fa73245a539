import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Question } from '../../datasets/dataset.js';
import { shuffled } from '../../datasets/random.js';
import { type SplitLists, splitNames, wordingOf } from '../../datasets/split.js';
import { loadSplit, makeSplit, splitHash } from '../../datasets/split-file.js';
import { loadVqaRad } from '../../datasets/vqa-rad.js';
import { FileError } from '../../graph-builder/errors.js';

const dataset = loadVqaRad();
const { questions } = dataset;
const byQid = new Map(questions.map((q) => [q.qid, q]));
const rowsOf = (qids: readonly string[]): Question[] => qids.map((qid) => byQid.get(qid)!);
const imagesOf = (qids: readonly string[]) => new Set(rowsOf(qids).map((q) => q.imageId));
const overlap = <T>(a: Iterable<T>, b: ReadonlySet<T>) => [...a].filter((x) => b.has(x));
const scratch = mkdtempSync(join(tmpdir(), 'split-'));
afterAll(() => rmSync(scratch, { recursive: true }));

describe.each(splitNames)('%s', (name) => {
  const split = loadSplit(dataset, name);

  test('the shipped file is what the code draws, in any order of the rows', () => {
    expect(makeSplit(questions, name)).toEqual(split);
    expect(makeSplit(shuffled(questions, 'another order'), name)).toEqual(split);
  });

  test('the lists are disjoint and hold every row that is no frame row', () => {
    const all = [...split.train, ...split.validation, ...split.test];
    expect(new Set(all).size).toBe(2248);
    expect(all).toHaveLength(2248);
    expect(rowsOf(all).some((q) => q.phraseType === 'frame')).toBe(false);
  });

  test('validation is a tenth of the train images of each organ, with all their questions', () => {
    expect(overlap(imagesOf(split.validation), imagesOf(split.train))).toEqual([]);
    const perOrgan = (qids: readonly string[], organ: string) =>
      new Set(
        rowsOf(qids)
          .filter((q) => q.organ === organ)
          .map((q) => q.imageId),
      ).size;
    for (const organ of ['CHEST', 'ABD', 'HEAD']) {
      const held = perOrgan(split.validation, organ);
      expect(held).toBe(Math.round((held + perOrgan(split.train, organ)) * 0.1));
      expect(held).toBeGreaterThan(6);
    }
  });

  test('another seed holds out other images', () => {
    const other = makeSplit(questions, name, 1);
    expect(other.sha256).not.toBe(split.sha256);
    expect(overlap(imagesOf(other.validation), imagesOf(split.validation)).length).toBeLessThan(15);
  });

  test('frame rows are added to train only, without those that leak', () => {
    const framed = makeSplit(questions, name, 0, { frame: true });
    expect([framed.validation, framed.test]).toEqual([split.validation, split.test]);
    const before = new Set(split.train);
    const added = framed.train.filter((qid) => !before.has(qid));
    expect(framed.train.length).toBe(split.train.length + added.length);
    expect(added.length).toBeGreaterThan(700);
    expect(rowsOf(added).every((q) => q.phraseType === 'frame')).toBe(true);
    expect(overlap(imagesOf(added), imagesOf(split.validation))).toEqual([]);
    expect(overlap(rowsOf(added).map(wordingOf), new Set(rowsOf(split.test).map(wordingOf)))).toEqual([]);
    if (name === 'image') expect(overlap(imagesOf(added), imagesOf(split.test))).toEqual([]);
  });
});

test('official is the published split', () => {
  const { train, validation, test: tested } = loadSplit(dataset, 'official');
  expect(train.length + validation.length).toBe(1797);
  expect(tested).toHaveLength(451);
  expect(rowsOf(tested).every((q) => q.set === 'test')).toBe(true);
});

test('image shares no image between training and test, and tests 21 images an organ', () => {
  const { train, validation, test: tested } = loadSplit(dataset, 'image');
  const images = imagesOf(tested);
  expect(overlap(imagesOf([...train, ...validation]), images)).toEqual([]);
  const organs = [...images].map((id) => questions.find((q) => q.imageId === id)!.organ);
  for (const organ of ['CHEST', 'ABD', 'HEAD']) expect(organs.filter((o) => o === organ)).toHaveLength(21);
});

test('wordings that read alike are equal, on the same image only', () => {
  const wording = (imageId: string, question: string) => wordingOf({ imageId, question });
  expect(wording('a.jpg', 'Is  this an X-ray?')).toBe(wording('a.jpg', 'is this an x ray'));
  expect(wording('a.jpg', 'is this an x ray')).not.toBe(wording('b.jpg', 'is this an x ray'));
  expect(wording('a.jpg', 'is this a ct')).not.toBe(wording('a.jpg', 'is this an mri'));
});

test('21 frame rows are word for word test questions: they are the least that must go', () => {
  const tested = new Set(
    questions.filter((q) => q.set === 'test').map((q) => `${q.imageId} ${q.question.toLowerCase()}`),
  );
  const frames = questions.filter((q) => q.phraseType === 'frame');
  const same = frames.filter((q) => tested.has(`${q.imageId} ${q.question.toLowerCase()}`));
  expect(same.length).toBeGreaterThanOrEqual(21);
  const { train } = makeSplit(questions, 'official', 0, { frame: true });
  expect(
    overlap(
      same.map((q) => q.qid),
      new Set(train),
    ),
  ).toEqual([]);
});

test('the hash depends on each list, but not on the order within', () => {
  const lists: SplitLists = { train: ['1', '2'], validation: ['3'], test: ['4'] };
  // Computed with Python's hashlib.
  expect(splitHash(lists)).toBe('87e4fa6e7efbc3805a042dc680e4193eea93612bf8cef05ba4af686a5763d82d');
  expect(splitHash({ ...lists, train: ['2', '1'] })).toBe(splitHash(lists));
  expect(splitHash({ ...lists, train: ['1'], validation: ['2', '3'] })).not.toBe(splitHash(lists));
});

const shipped = JSON.parse(readFileSync(dataset.splitPath('image'), 'utf8'));
const rehashed = (lists: SplitLists) => ({ ...shipped, ...lists, sha256: splitHash(lists) });
test.each([
  ['a changed list', { ...shipped, test: shipped.test.slice(1) }, /the lists have hash/],
  [
    'an unknown qid',
    rehashed({ ...shipped, test: ['no-such-qid'] }),
    /1 qids are not of vqa-rad, e.g. no-such/,
  ],
  ['a qid in two lists', rehashed({ ...shipped, test: shipped.train }), /a qid stands twice/],
  ['a missing list', { ...shipped, test: undefined }, /test/],
])('a split file with %s is refused', (_name, json, message) => {
  const path = join(scratch, 'split.json');
  writeFileSync(path, JSON.stringify(json));
  const moved = { ...dataset, splitPath: () => path };
  expect(() => loadSplit(moved, 'image')).toThrow(FileError);
  expect(() => loadSplit(moved, 'image')).toThrow(message);
});
