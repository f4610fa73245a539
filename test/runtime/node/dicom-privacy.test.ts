/** @file What DICOM files say of patients turns up in no output, log, cache or name, whatever is done with them. */
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { runProgram, temporaryFolder, tinyFlags } from './runs.js';

const oracles = join(import.meta.dirname, '../../oracles/dicom');
const cwd = temporaryFolder();
const SECRET = /secret|sophie|19010203/i;
const said: string[] = [];
/** Files of the cache, shared by all tests, before this one. */
const cache = join(tmpdir(), 'mile-ort-test-cache');

async function run(bin: string, args: readonly string[], code = 0): Promise<string> {
  const { stdout, stderr, code: ended } = await runProgram(bin, args, cwd);
  expect(ended, stderr).toBe(code);
  said.push(stdout, stderr);
  return stdout;
}

/** Every file below a folder, by name and content; pixels are not text. */
function leaks(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((entry) => {
    const path = join(entry.parentPath, entry.name);
    if (SECRET.test(entry.name)) return [path];
    return entry.isFile() && SECRET.test(readFileSync(path, 'latin1')) ? [path] : [];
  });
}

beforeAll(() => {
  mkdirSync(join(cwd, 'scans'));
  const names = [
    'native-explicit',
    'jpeg2000',
    'rle',
    'jpeg-lossless-16',
    'ybr-full',
    'rgb',
    'frames',
    'jpeg-ls',
  ];
  const rows = ['image,question,answer,split'];
  for (const [i, name] of names.entries()) {
    cpSync(join(oracles, `${name}.dcm`), join(cwd, 'scans', `${i}.dcm`));
    rows.push(`${i}.dcm,Is it bright?,${i % 2 ? 'yes' : 'no'},${i < 6 ? 'train' : i === 6 ? 'val' : 'test'}`);
  }
  writeFileSync(join(cwd, 'rows.csv'), `${rows.join('\n')}\n`);
  // the first has a name in its meta data and a wrong length: an error while it is read
  const broken = readFileSync(join(oracles, 'native-explicit.dcm'));
  writeFileSync(join(cwd, 'broken.dcm'), broken.subarray(0, broken.length - 100));
});

test('checked, trained, scored and asked: not a word of it anywhere', async () => {
  const data = ['rows.csv', '--image-root', 'scans'];
  await run('ort-data', ['inspect', ...data, '--contact-sheet', 'sheet.html']);
  const flags = [...tinyFlags.with(tinyFlags.indexOf('T/P/P'), 'F/P/P'), '--data', ...data];
  const train = [...flags, '--batch-size', '2', '--epochs', '2', '--name', 'run', '--cut', 'kv'];
  await run('ort-train', train);
  expect(said.at(-1)).toContain('1 image: the DICOM file says that text about the patient is in its pixels');
  await run('ort-eval', ['--run', 'runs/run', '--data', ...data]);
  const ask = ['--run', 'runs/run', '--question', 'Is it bright?', '--json'];
  const answer = JSON.parse(await run('ort-answer', ['--image', 'scans/6.dcm', '--frame', 'middle', ...ask]));
  expect(answer.notes).toEqual([]);
  await run('ort-answer', ['--image', 'scans/5.dcm', ...ask]);
  expect(said.at(-1)).toContain('note: the DICOM file says that text about the patient is in its pixels');
  await run('ort-answer', ['--image', 'broken.dcm', ...ask], 2);
  expect(said.join('\n')).not.toMatch(SECRET);
  expect(leaks(join(cwd, 'runs'))).toEqual([]);
  expect(leaks(cache)).toEqual([]);
  expect(leaks(join(cwd, 'scans')).length).toBe(8); // the test could fail
  expect(SECRET.test(readFileSync(join(cwd, 'sheet.html'), 'latin1'))).toBe(false);
});

test('frames: what is no frame is refused', async () => {
  const ask = ['--image', 'scans/6.dcm', '--question', 'Is it bright?', '--frame', 'last'];
  await run('ort-answer', ask, 2);
  expect(said.at(-1)).toMatch(/give first, middle or a number/);
});
