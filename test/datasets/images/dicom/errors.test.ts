/** @file DICOM files that are damaged, crafted or none: clear errors, and nothing of the patient in any of them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import dicomParser from 'dicom-parser';
import { expect, test } from 'vitest';
import { decodeDicom } from '../../../../datasets/images/dicom/decode.js';
import { bareForm, isDicom } from '../../../../datasets/images/dicom/is-dicom.js';
import { decodeRle } from '../../../../datasets/images/dicom/rle.js';
import { FileError } from '../../../../graph-builder/errors.js';
import { seededUniform } from './support.js';

const folder = join(import.meta.dirname, '../../../oracles/dicom');
const load = (name: string) => new Uint8Array(readFileSync(join(folder, `${name}.dcm`)));

/** The file with other bytes in an element. */
function changed(name: string, key: string, value: string | readonly number[]): Uint8Array {
  const bytes = load(name);
  const { dataOffset, length } = dicomParser.parseDicom(bytes).elements[key]!;
  const text = typeof value === 'string' ? value.padEnd(length, ' ') : String.fromCharCode(...value);
  expect(text.length, 'the test replaces bytes one by one').toBeLessThanOrEqual(length);
  for (let i = 0; i < text.length; i++) bytes[dataOffset + i] = text.charCodeAt(i);
  return bytes;
}

test.each([
  [
    'a window that is no number',
    changed('native-explicit', 'x00281051', 'SOPHIE'),
    'Window Width (0028,1051) is not a number',
  ],
  [
    'a window out of any range',
    changed('native-explicit', 'x00281051', '9e99'),
    'Window Width (0028,1051) is out of any range',
  ],
  ['a slope of 0', changed('native-explicit', 'x00281053', '0'), 'Rescale Slope (0028,1053) is 0'],
  [
    'too narrow a window',
    changed('native-explicit', 'x00281051', '0.5'),
    'Window Width (0028,1051) is too small',
  ],
  [
    'an unknown window function',
    changed('window-sigmoid', 'x00281056', 'SOPHIE'),
    'VOI LUT Function (0028,1056) is none of',
  ],
  [
    'frames that are no number',
    changed('frames', 'x00280008', '1e'),
    'Number of Frames (0028,0008) is not a number',
  ],
  [
    'more rows than pixels',
    changed('native-explicit', 'x00280010', [99, 0]),
    'Pixel Data (7fe0,0010) has 960 bytes',
  ],
  [
    'fewer rows than pixels',
    changed('native-explicit', 'x00280010', [9, 0]),
    'bytes more than rows x columns x frames',
  ],
  ['no rows', changed('native-explicit', 'x00280010', [0, 0]), 'Rows (0028,0010) is 0'],
  [
    'bits beyond the allocated',
    changed('native-explicit', 'x00280101', [17, 0]),
    'Bits Stored (0028,0101) does not fit',
  ],
  [
    'a photometric interpretation of another kind',
    changed('native-explicit', 'x00280004', 'SOPHIE'),
    'Photometric Interpretation (0028,0004) is none of',
  ],
  [
    'another size than the JPEG 2000 stream',
    changed('jpeg2000', 'x00280010', [9, 0]),
    'has 36 x 40 x 1 samples, the header says 36 x 9 x 1',
  ],
  ['RLE of another size', changed('rle', 'x00280010', [9, 0]), 'is damaged (RLE)'],
  [
    'an unknown transfer syntax',
    changed('native-explicit', 'x00020010', '1.2.840.10008.1.9'),
    '1.2.840.10008.1.9 is not supported',
  ],
  ['text for a transfer syntax', changed('native-explicit', 'x00020010', 'SOPHIE'), '(not a UID)'],
  [
    'no DICOM',
    new TextEncoder().encode('a file of some other kind, longer than the header'),
    'not a DICOM file',
  ],
])('%s', async (_, bytes, message) => {
  const error = await decodeDicom(bytes, 'a.dcm').catch((e: unknown) => e);
  expect(error).toBeInstanceOf(FileError);
  expect((error as Error).message).toContain(message);
  expect((error as Error).message).not.toMatch(/sophie|secret|4711/i);
});

test('a file cut off anywhere is refused, or whole up to its pixels', async () => {
  for (const name of [
    'native-implicit',
    'native-deflated',
    'rle',
    'jpeg-ls',
    'jpeg-lossless-16',
    'jpeg2000',
    'jpeg-grey',
  ]) {
    const bytes = load(name);
    for (let length = 0; length < bytes.length - 200; length += 37) {
      const cut = decodeDicom(bytes.subarray(0, length), 'a.dcm');
      const error = await cut.then(
        () => undefined,
        (e: unknown) => e,
      );
      if (error !== undefined) expect(error, `${name} cut at ${length}`).toBeInstanceOf(FileError);
      if (error !== undefined) expect((error as Error).message).not.toMatch(/sophie|secret|4711/i);
    }
  }
});

test('random damage gives pixels or a clear error, nothing else', async () => {
  const random = seededUniform(3);
  for (const file of readdirSync(folder).filter((f) => f.endsWith('.dcm'))) {
    for (let round = 0; round < 6; round++) {
      const bytes = load(file.slice(0, -4));
      for (let n = 0; n < 8; n++)
        bytes[132 + Math.floor(random() * (bytes.length - 132))] = Math.floor(random() * 256);
      const error = await decodeDicom(bytes, 'a.dcm').then(
        () => undefined,
        (e: unknown) => e,
      );
      if (error !== undefined) expect(error, `${file}: ${(error as Error).stack}`).toBeInstanceOf(FileError);
    }
  }
});

test('a codec works again after damaged data', async () => {
  for (const name of ['jpeg2000', 'jpeg-ls', 'jpeg-grey']) {
    const bytes = load(name);
    const damaged = bytes.slice();
    damaged.fill(0, bytes.length - 600);
    await decodeDicom(damaged, 'a.dcm').catch(() => {});
    expect((await decodeDicom(bytes, 'a.dcm')).image.width).toBeGreaterThan(0);
  }
});

test('files without the 128 bytes and the mark are known by their first element', async () => {
  const bareOf = (bytes: Uint8Array) =>
    bytes.subarray(dicomParser.parseDicom(bytes).elements.x00080016!.dataOffset - 8);
  const implicit = load('native-implicit');
  const bare = bareOf(implicit);
  expect(bareForm(bare)).toBe('implicit');
  expect((await decodeDicom(bare, 'a')).image.data).toEqual((await decodeDicom(implicit, 'a')).image.data);
  const explicit = bareOf(load('native-explicit'));
  expect(bareForm(explicit)).toBe('explicit');
  expect((await decodeDicom(explicit, 'a')).image.width).toBe(20);
  for (const other of [
    '\x89PNG\r\n\x1a\n0000IHDR',
    'II*\0\x08\0\0\0\x0e\0\xfe\0',
    'GIF89a..........',
    'BM..............',
  ])
    expect(isDicom(Uint8Array.from(other, (c) => c.charCodeAt(0)))).toBe(false);
});

test('warns of text in the pixels when the file says so, or says nothing and often has it', async () => {
  const warned = async (bytes: Uint8Array) => (await decodeDicom(bytes, 'a.dcm')).warnings;
  expect(await warned(load('native-explicit'))).toEqual([]);
  expect(await warned(load('rgb'))).toEqual([
    expect.stringContaining('text about the patient is in its pixels'),
  ]);
  const ultrasound = await warned(changed('ybr-full', 'x00280301', '  '));
  expect(ultrasound).toHaveLength(1);
  expect(ultrasound[0]).toContain('US');
  expect(await warned(load('ybr-full'))).toEqual([]);
});

test('RLE: runs, literals and the operation that does nothing (PS3.5, G.3)', () => {
  const header = new Uint8Array(64);
  new DataView(header.buffer).setUint32(0, 1, true);
  new DataView(header.buffer).setUint32(4, 64, true);
  const data = [...header, 2, 10, 20, 30, 128, 254, 7];
  expect([...decodeRle(Uint8Array.from(data), 6, 1, 1)!]).toEqual([10, 20, 30, 7, 7, 7]);
  expect(decodeRle(Uint8Array.from(data), 7, 1, 1)).toBeUndefined();
  expect(decodeRle(Uint8Array.from(data), 5, 1, 1)).toBeUndefined();
});
