/** @file DICOM files where image files are taken; what they say of the patient turns up nowhere. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import dicomParser from 'dicom-parser';
import { afterAll, expect, test } from 'vitest';
import { textInPixels } from '../../../datasets/check/findings.js';
import type { Question } from '../../../datasets/dataset.js';
import { decodeImage } from '../../../runtime/node/decode-image.js';
import { sliceOfFolder } from '../../../runtime/node/dicom-series.js';
import { readImageFacts } from '../../../runtime/node/image-facts.js';

const oracles = join(import.meta.dirname, '../../oracles/dicom');
const scratch = mkdtempSync(join(tmpdir(), 'dicom-'));
afterAll(() => rmSync(scratch, { recursive: true }));

test('a DICOM file is known by its content, whatever it is called', async () => {
  const path = join(scratch, 'scan.png');
  cpSync(join(oracles, 'native-explicit.dcm'), path);
  expect(await decodeImage(path)).toEqual(await decodeImage(join(oracles, 'native-explicit.dcm')));
});

test('a warning about text in the pixels is passed on', async () => {
  const notes: string[] = [];
  await decodeImage(join(oracles, 'rgb.dcm'), { onNote: (note) => notes.push(note) });
  expect(notes).toEqual([expect.stringContaining('text about the patient')]);
});

test('a frame of another file is an error', async () => {
  await expect(decodeImage(join(oracles, 'rgb.png'), { frame: 2 })).rejects.toThrow(
    'only DICOM files have frames',
  );
});

/** A file of one slice, with its number, or the position of `native-explicit` without one. */
function slice(name: string, instance: number, series: string): void {
  const bytes = readFileSync(join(oracles, 'native-explicit.dcm'));
  const meta = dicomParser.parseDicom(bytes, { untilTag: 'x00280002' }).elements.x00280002!.dataOffset - 8;
  const element = (group: number, number: number, vr: string, value: string) => {
    const text = value.padEnd(value.length + (value.length % 2), ' ');
    const head = Buffer.alloc(8);
    head.writeUInt16LE(group, 0);
    head.writeUInt16LE(number, 2);
    head.write(vr, 4, 'latin1');
    head.writeUInt16LE(text.length, 6);
    return Buffer.concat([head, Buffer.from(text, 'latin1')]);
  };
  const place = [element(0x20, 0x0e, 'UI', series), element(0x20, 0x13, 'IS', String(instance))];
  writeFileSync(
    join(scratch, 'series', name),
    Buffer.concat([bytes.subarray(0, meta), ...place, bytes.subarray(meta)]),
  );
}

test('a folder with a series: the slice that is asked for, in the order of the slices', () => {
  const folder = join(scratch, 'series');
  mkdirSync(folder);
  for (const [name, instance] of [
    ['a', 5],
    ['b', 1],
    ['c', 3],
    ['d', 2],
    ['e', 4],
  ] as const)
    slice(name, instance, '1.2.3');
  writeFileSync(join(folder, 'notes.txt'), 'no image');
  const chosen = (choice: 'first' | 'middle' | number) => sliceOfFolder(folder, choice)!.at(-1);
  expect([chosen('first'), chosen('middle'), chosen(5), chosen(4)]).toEqual(['b', 'c', 'a', 'e']);
  expect(() => sliceOfFolder(folder, 6)).toThrow('choose 1 to 5');
  expect(() => sliceOfFolder(folder, undefined)).toThrow('say which slice');
  slice('f', 6, '1.2.4');
  expect(() => sliceOfFolder(folder, 'middle')).toThrow('images of 2 series');
});

test('the oracles do hold what must turn up nowhere', () => {
  for (const file of readdirSync(oracles).filter((f) => f.endsWith('.dcm') && f !== 'native-deflated.dcm'))
    expect(readFileSync(join(oracles, file), 'latin1')).toContain('Secret^Sophie');
});

test('ort-data check lists the files that warn of text in their pixels', async () => {
  const questions: Question[] = ['rgb', 'ybr-full'].map((name) => {
    const rows = { qid: name, imageId: `${name}.dcm`, question: 'What?', answer: 'x' };
    return { ...rows, answerType: 'open' };
  });
  const imagePath = (id: string) => join(oracles, id);
  const dataset = { name: 'a', licence: 'none', questions, notes: [], skipped: [], imagePath };
  const [found, ...others] = textInPixels(await readImageFacts(dataset, ['rgb.dcm', 'ybr-full.dcm']));
  expect(others).toEqual([]);
  expect(found).toMatchObject({
    count: 1,
    examples: [expect.stringMatching(/^rgb\.dcm: .*text about the patient/)],
  });
});
