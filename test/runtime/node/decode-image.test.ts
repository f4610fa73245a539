import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, expect, test } from 'vitest';
import { FileError } from '../../../graph-builder/errors.js';
import { decodeImage } from '../../../runtime/node/decode-image.js';

const scratch = mkdtempSync(join(tmpdir(), 'decode-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** A raw 8-bit image in sharp. */
const raw = (data: readonly number[], width: number, height: number, channels: 1 | 2 | 3 | 4) =>
  sharp(Uint8Array.from(data), { raw: { width, height, channels } });

const colours = [255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30, 200, 100, 50, 7, 8, 9];

test.each(['png', 'webp', 'tiff'] as const)('lossless %s comes back unchanged', async (format) => {
  const options = format === 'webp' ? { lossless: true } : { compression: 'lzw' as const };
  const file = await raw(colours, 3, 2, 3)
    .toFormat(format, format === 'png' ? {} : options)
    .toBuffer();
  const { data, width, height } = await decodeImage(file);
  expect([width, height]).toEqual([3, 2]);
  expect([...data]).toEqual(colours);
});

test('a path and its bytes give the same image', async () => {
  const path = join(scratch, 'a.png');
  await raw(colours, 3, 2, 3).toFile(path);
  expect([...(await decodeImage(path)).data]).toEqual(colours);
});

test('JPEG decodes to nearly its pixels', async () => {
  const grey = new Array(16 * 16 * 3).fill(90);
  const file = await raw(grey, 16, 16, 3).jpeg({ quality: 95 }).toBuffer();
  for (const byte of (await decodeImage(file)).data) expect(Math.abs(byte - 90)).toBeLessThanOrEqual(2);
});

test('8-bit grey becomes three equal colours, and is not stretched', async () => {
  const { data } = await decodeImage(await raw([40, 80, 120, 160], 2, 2, 1).png().toBuffer());
  expect([...data]).toEqual([40, 40, 40, 80, 80, 80, 120, 120, 120, 160, 160, 160]);
});

test('EXIF orientation is applied', async () => {
  // Orientation 6: the stored image is to be turned clockwise by a quarter.
  const file = await raw([255, 0, 0, 0, 0, 255], 2, 1, 3).withMetadata({ orientation: 6 }).png().toBuffer();
  const { data, width, height } = await decodeImage(file);
  expect([width, height]).toEqual([1, 2]);
  expect([...data]).toEqual([255, 0, 0, 0, 0, 255]);
});

test('transparency lies on black', async () => {
  const file = await raw([200, 100, 50, 0, 200, 100, 50, 255], 2, 1, 4).png().toBuffer();
  expect([...(await decodeImage(file)).data]).toEqual([0, 0, 0, 200, 100, 50]);
});

test('CMYK becomes sRGB', async () => {
  const white = new Array(8 * 8 * 3).fill(255);
  const file = await raw(white, 8, 8, 3).toColourspace('cmyk').jpeg({ quality: 100 }).toBuffer();
  expect((await sharp(file).metadata()).channels).toBe(4);
  const { data } = await decodeImage(file);
  expect(data).toHaveLength(8 * 8 * 3);
  for (const byte of data) expect(byte).toBeGreaterThan(245);
});

/** A 16-bit grey file with these values in one row. */
async function deepGrey(values: readonly number[], format: 'png' | 'tiff'): Promise<Buffer> {
  const image = sharp(Uint16Array.from(values), { raw: { width: values.length, height: 1, channels: 1 } });
  const file = await image.toColourspace('grey16').toFormat(format, { compression: 'none' }).toBuffer();
  expect(await sharp(file).metadata()).toMatchObject({ depth: 'ushort', channels: 1 });
  return file;
}

test.each(['png', 'tiff'] as const)(
  '16-bit grey %s of 12-bit values uses the whole range',
  async (format) => {
    const values = [100, 1099, 2098, 3097, 4095];
    const { data } = await decodeImage(await deepGrey(values, format));
    const grey = values.map((v) => Math.round(((v - 100) / 3995) * 255));
    expect([...data]).toEqual(grey.flatMap((v) => [v, v, v]));
  },
);

test('16-bit grey of all values is scaled, not clipped', async () => {
  const values = [0, 256, 32768, 65535];
  const { data } = await decodeImage(await deepGrey(values, 'png'));
  expect([data[0], data[3], data[6], data[9]]).toEqual([0, 1, 128, 255]);
});

test('16-bit grey with transparency lies on black before it is stretched', async () => {
  const pixels = Uint16Array.of(4000, 65535, 4000, 0, 2000, 65535);
  const image = sharp(pixels, { raw: { width: 3, height: 1, channels: 2 } });
  const file = await image.toColourspace('grey16').png().toBuffer();
  expect(await sharp(file).metadata()).toMatchObject({ depth: 'ushort', channels: 2 });
  const { data } = await decodeImage(file);
  expect([data[0], data[3]]).toEqual([255, 0]);
  expect(Math.abs(data[6]! - 128)).toBeLessThanOrEqual(1);
});

// Written by Pillow: another encoder than the decoder's.
const pillowPng =
  'iVBORw0KGgoAAAANSUhEUgAAAAIAAAACEAAAAAAHTY67AAAAEklEQVR4nGNkSGF5zsBhxP8fAAqNApmIb55nAAAAAElFTkSuQmCC';
const pillowFloatTiff =
  'SUkqAAgAAAAKAAABBAABAAAAAwAAAAEBBAABAAAAAQAAAAIBAwABAAAAIAAAAAMBAwABAAAAAQAAAAYBAwABAAAAAQAAABEBBAAB' +
  'AAAAhgAAABYBBAABAAAAAQAAABcBBAABAAAADAAAABwBAwABAAAAAQAAAFMBAwABAAAAAwAAAAAAAAAAAAAAAAAAPwAAgD8=';

test("Pillow's 16-bit PNG of 100, 1099, 2098 and 4095", async () => {
  const { data, width, height } = await decodeImage(Buffer.from(pillowPng, 'base64'));
  expect([width, height]).toEqual([2, 2]);
  expect([...data]).toEqual([0, 0, 0, 64, 64, 64, 128, 128, 128, 255, 255, 255]);
});

test('float pixels are refused: their range is not known', async () => {
  const decoding = decodeImage(Buffer.from(pillowFloatTiff, 'base64'));
  await expect(decoding).rejects.toThrow(/pixels of type float are not supported[\s\S]*8 or 16 bits/);
});

test('a blank 16-bit image is black', async () => {
  const { data } = await decodeImage(await deepGrey([500, 500], 'png'));
  expect([...data]).toEqual([0, 0, 0, 0, 0, 0]);
});

test('16-bit colour keeps its upper 8 bits', async () => {
  const image = sharp(Uint16Array.of(65535, 32768, 0), { raw: { width: 1, height: 1, channels: 3 } });
  const file = await image.toColourspace('rgb16').png().toBuffer();
  expect((await sharp(file).metadata()).depth).toBe('ushort');
  expect([...(await decodeImage(file)).data]).toEqual([255, 128, 0]);
});

const write = (name: string, content: string | Uint8Array) => {
  const path = join(scratch, name);
  writeFileSync(path, content);
  return path;
};
const png = await raw(
  Array.from({ length: 3000 }, (_, i) => (i * 7919) % 256),
  25,
  40,
  3,
)
  .png()
  .toBuffer();

test.each([
  ['missing', () => join(scratch, 'none.png'), /image file not found/],
  ['a folder', () => scratch, /this is a folder/],
  ['empty', () => write('empty.png', ''), /the image file is empty/],
  ['text', () => write('text.png', 'hello, this is no image at all'), /cannot be decoded/],
  ['cut off', () => write('cut.png', png.subarray(0, png.length / 2)), /cannot be decoded/],
  [
    'SVG',
    () => write('a.svg', '<svg xmlns="http://www.w3.org/2000/svg" width="5" height="5"/>'),
    /format svg/,
  ],
  ['cut off DICOM', () => write('a.dcm', `${'\0'.repeat(128)}DICM and more`), /damaged or cut off/],
])('%s: a clear error that names the file', async (_name, make, message) => {
  const path = make();
  const error = await decodeImage(path).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(FileError);
  expect((error as FileError).message).toMatch(message);
  expect((error as FileError).where).toBe(path);
  expect((error as FileError).remedy).not.toBe('');
});

test('empty bytes are refused, too', async () => {
  await expect(decodeImage(new Uint8Array())).rejects.toThrow('the image file is empty');
});
