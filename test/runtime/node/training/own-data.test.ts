/** @file Training and scoring on a table of one's own. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { writeReport } from '../../../../runtime/node/training/report.js';
import { readCheckpointState } from '../../../../training-artifacts/checkpoint/checkpoint.js';
import { folderWith } from '../../../datasets/formats/sets.js';
import { expectMessage, runProgram, temporaryFolder } from '../runs.js';
import { build, copyOf, expectSameTraining, train } from './support.js';

const images = Array.from({ length: 12 }, (_, i) => `scan${i}.png`);
const csv = [
  'file,frage,antwort,teil',
  ...images.flatMap((name, i) => {
    const part = i < 8 ? 'train' : i < 10 ? 'val' : 'test';
    return [`${name},Is it round?,${i % 2 ? 'yes' : 'no'},${part}`, `${name},Which plane?,axial,${part}`];
  }),
].join('\n');
const columns = { imageCol: 'file', questionCol: 'frage', answerCol: 'antwort', splitCol: 'teil' };

let folder = '';
let table = '';
let whole = '';
let half = '';
beforeAll(async () => {
  folder = await folderWith({ 'own.csv': csv }, images);
  table = join(folder, 'own.csv');
  const options = { data: table, ...columns, limit: null, evalEvery: 1, epochs: 2 };
  const built = build();
  [whole, half] = [copyOf(built), copyOf(built)];
  await train(whole, { options });
  await train(half, { options, maxSteps: 1 });
});

test('it trains on the rows marked so, and validates on theirs', () => {
  const { options, batches } = readCheckpointState(whole, 'last');
  expect(batches).toBe(4); // 16 rows, 8 a step, 2 epochs
  expect(options).toMatchObject({ data: table, ...columns });
});

test('the columns are in the checkpoint: a resumed run needs no flag', async () => {
  const run = copyOf(half);
  await train(run, { resume: true });
  expectSameTraining(run, whole);
});

test('a resumed run refuses other rows', async () => {
  const changed = csv.replace('scan3.png,Which plane?,axial', 'scan3.png,Which plane?,coronal');
  writeFileSync(table, changed);
  await expect(train(copyOf(half), { resume: true })).rejects.toThrow(
    /^the training or validation rows are not those of the checkpoint\n.*own\.csv\n.*--overwrite/,
  );
  writeFileSync(table, csv);
});

test('the card names the table, but no folder of this machine', async () => {
  const card = readFileSync(await writeReport(whole, { finished: true, early: false }), 'utf8');
  expect(card).toContain('on own.csv');
  expect(card).toMatch(/\| --image-col +\| file/);
  expect(card).not.toContain(folder);
});

test('ort-eval scores on what the run was trained on, from any folder; another set on request', async () => {
  const run = copyOf(whole);
  const { stdout, code, stderr } = await runProgram('ort-eval', ['--run', run, '--json'], temporaryFolder());
  expect([code, stderr]).toEqual([0, '']);
  expect(JSON.parse(stdout)).toMatchObject({ data: table, split: 'official', scores: { overall: { n: 4 } } });
  const other = await runProgram(
    'ort-eval',
    ['--run', run, '--data', 'vqa-rad', '--limit', '2', '--json'],
    temporaryFolder(),
  );
  expect(JSON.parse(other.stdout)).toMatchObject({ data: 'vqa-rad', scores: { overall: { n: 2 } } });
});

test.each<[string, string[], RegExp]>([
  ['an unknown column', ['--image-col', 'bild'], /^no column 'bild'\n.*\n.*--image-col from file, frage/],
  ['no split', ['--split-col', 'file'], /^24 rows cannot be used:/],
  ['frame', ['--frame'], /^the data set has no templated restatements\n.*--frame\n/],
])('ort-train: %s', async (_, flags, message) => {
  const run = join(temporaryFolder(), 'run');
  cpSync(copyOf(half), run, { recursive: true });
  const own = ['--data', table, '--question-col', 'frage', '--answer-col', 'antwort', ...flags];
  const { stderr, code } = await runProgram('ort-train', ['--run', run, '--overwrite', ...own], run);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/\n {4}at /);
  expect(code).toBe(2);
});

test('a test part without questions', async () => {
  const lines = csv.split('\n').filter((line) => !line.endsWith('test'));
  const other = await folderWith({ 'own.csv': lines.join('\n') }, images);
  const flags = [
    '--image-col',
    'file',
    '--question-col',
    'frage',
    '--answer-col',
    'antwort',
    '--split-col',
    'teil',
  ];
  await expectMessage(
    'ort-eval',
    ['--run', whole, '--data', join(other, 'own.csv'), ...flags],
    /^the test part of the split is empty\n.*--split\n/,
  );
});
