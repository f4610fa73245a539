/** @file The program `ort-data`, on data sets of every kind. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { splitHash } from '../../../../datasets/split-file.js';
import { drawn, folderWith } from '../../../datasets/formats/sets.js';
import { expectMessage, runProgram, temporaryFolder } from '../runs.js';

const images = Array.from({ length: 20 }, (_, i) => `im${i}.png`);
const rows = images.flatMap((name, i) => [
  `${name},Is it <round>?,${i % 3 ? 'yes' : 'no'},P${i >> 1},${i % 2 ? 'HEAD' : 'CHEST'}`,
  `${name},Which plane?,axial,P${i >> 1},${i % 2 ? 'HEAD' : 'CHEST'}`,
]);
const header = 'image,question,answer,patient,organ';
const csv = [header, ...rows].join('\n');

let folder = '';
let cwd = '';
const run = async (...args: string[]) => {
  const result = await runProgram('ort-data', args, cwd);
  expect(result.stderr).toBe('');
  return result;
};
const json = async (...args: string[]) => JSON.parse((await run(...args, '--json')).stdout);

beforeAll(async () => {
  folder = await folderWith({ 'own.csv': csv }, images);
  cwd = temporaryFolder();
});

describe.concurrent('ort-data', () => {
  test('inspect counts, measures and draws a page that needs nothing else', async () => {
    const sheet = join(cwd, 'sheet.html');
    const facts = await json('inspect', folder, '--contact-sheet', sheet, '--samples', '6');
    expect(facts.parts.train).toMatchObject({ questions: 40, images: 20, patients: 10, yes: 13, no: 7 });
    expect(facts.columns.organ).toEqual([
      ['CHEST', 20],
      ['HEAD', 20],
    ]);
    expect(facts.images).toEqual({ count: 20, unreadable: 0, shortest: 64, median: 64, longest: 64 });
    expect(facts.notes.join('\n')).toMatch(/columns: image = image.*\n.*all rows count as training/s);
    const page = readFileSync(sheet, 'utf8');
    const pictures = [...page.matchAll(/src="data:image\/jpeg;base64,([^"]+)"/g)];
    expect(pictures).toHaveLength(6);
    const first = await sharp(Buffer.from(pictures[0]![1]!, 'base64')).metadata();
    expect([first.width, first.height]).toEqual([240, 240]);
    expect(page).toContain('Is it &lt;round&gt;?');
    expect(page).not.toMatch(/<script|<link|https?:/);
  });

  test('a PNG sheet; the same seed draws the same', async () => {
    const [a, b] = ['a', 'b'].map((name) => join(cwd, `${name}.png`)) as [string, string];
    await run('inspect', folder, '--contact-sheet', a, '--samples', '5');
    await run('inspect', folder, '--contact-sheet', b, '--samples', '5');
    expect(readFileSync(a).equals(readFileSync(b))).toBe(true);
    expect((await sharp(a).metadata()).width).toBeGreaterThan(4 * 240);
  });

  test('check on VQA-RAD says what its card says; --strict is for scripts', async () => {
    const { stdout, code } = await run('check', 'vqa-rad', '--strict', '--text-only');
    expect(code).toBe(1);
    expect(stdout).toMatch(/test images in training: 202\n.*203 images in test/);
    expect(stdout).toMatch(/duplicates in training: 3\n/);
    expect(stdout).toMatch(/test questions in training: 1\n/);
  });

  test('check finds copies, identifiers and bad rows, and repeats no name', async () => {
    const own = await folderWith({}, ['a.png', 'b.png', 'DOE^JANE.png']);
    await drawn(0, 128).jpeg({ quality: 60 }).toFile(join(own, 'again.jpg'));
    const table = ['a', 'b', 'DOE^JANE'].map((name) => `${name}.png,Why ${name.length}?,so,train`);
    const { writeFileSync } = await import('node:fs');
    const lines = ['image,question,answer,split', ...table, 'again.jpg,Where?,there,test', 'a.png,,x,train'];
    writeFileSync(join(own, 't.csv'), lines.join('\n'));
    const { stdout, code } = await run('check', own, '--skip-bad');
    expect(code).toBe(0);
    expect(stdout).toMatch(/lookalikes across parts: 1\n.*\n.*a\.png = again\.jpg/);
    expect(stdout).toMatch(/names like identifiers: 1\n.*\n.*XXX\^XXXX/);
    expect(stdout).toMatch(/rows left out: 1\n.*\n.*t\.csv:6: question: is empty/);
    expect(stdout).not.toMatch(/DOE|JANE/);
  });

  test('split by patient, then check that file', async () => {
    const out = join(cwd, 'by-patient.json');
    const said = await json('split', folder, '--by', 'patient', '--out', out, '--test', '0.3');
    const split = JSON.parse(readFileSync(out, 'utf8'));
    expect(said.sha256).toBe(splitHash(split));
    expect(split.sha256).toBe(said.sha256);
    expect(split.drawn).toMatchObject({ by: 'patient', nearDuplicateBits: 6, dataset: expect.any(String) });
    const { findings } = await json('check', folder, '--split', out);
    expect(findings.map((f: { name: string }) => f.name)).not.toContain('test patients in training');
    await expectMessage(
      'ort-data',
      ['split', folder, '--out', out],
      /^the file exists already\n.*by-patient\.json\n.*--overwrite/,
    );
  });

  test('a copy under another name stays in the part of the original', async () => {
    const own = await folderWith({ 'own.csv': `${csv}\ncopy.jpg,Why?,so,P1,HEAD\n` }, images);
    await drawn(7, 200).jpeg({ quality: 70 }).toFile(join(own, 'copy.jpg'));
    for (const seed of ['0', '1']) {
      const out = join(own, `split${seed}.json`);
      await run('split', own, '--seed', seed, '--out', out);
      const { train, validation, test: tested } = JSON.parse(readFileSync(out, 'utf8'));
      const partOf = (qid: string) => [train, validation, tested].findIndex((part) => part.includes(qid));
      expect(partOf('own:41')).toBe(partOf('own:15'));
      expect(partOf('own:41')).not.toBe(-1);
    }
  });

  test('--save: later commands need no column flags', async () => {
    const own = await folderWith({ 't.csv': csv.replace('image,question', 'bild,frage') }, images);
    const flags = ['--image-col', 'bild', '--question-col', 'frage', '--image-root', own];
    await run('inspect', own, ...flags, '--save');
    expect(JSON.parse(readFileSync(join(own, 'dataset.json'), 'utf8'))).toMatchObject({
      imageCol: 'bild',
      questionCol: 'frage',
      imageRoot: '.',
    });
    expect((await json('inspect', own)).notes[0]).toMatch(/image = bild, question = frage/);
  });

  test.each<[string, () => string[], RegExp]>([
    ['no command', () => [], /^a command is missing/],
    ['no data', () => ['check'], /^Missing required argument: data/],
    ['an unknown set', () => ['check', 'nothing'], /^unknown data set 'nothing'\n/],
    [
      'a sheet of another kind',
      () => ['inspect', folder, '--contact-sheet', 'a.gif'],
      /^the sheet is an HTML or/,
    ],
    ['no sample', () => ['inspect', folder, '--samples', '0'], /--samples\n/],
    [
      'saving what ships',
      () => ['inspect', 'vqa-rad', '--save'],
      /^a data set that ships has its settings\n/,
    ],
    [
      'shares',
      () => ['split', folder, '--test', '0.9', '--validation', '0.2'],
      /^shares of 0\.9 and 0\.2 leave/,
    ],
    [
      'no patients',
      () => ['split', 'vqa-rad', '--by', 'patient'],
      /^3515 of 3515 rows name no patient\n.*\n.*--patient-col/,
    ],
    ['no split', () => ['check', folder, '--split', 'official'], /^the data set says of no row/],
  ])('%s', async (_, args, message) => {
    await expectMessage('ort-data', args(), message);
  });
});

test('nothing was written but what was asked for', () =>
  expect(existsSync(join(cwd, 'split.json'))).toBe(false));
