/** @file DICOM files against the pictures that pydicom makes of them (test/oracles/dicom). */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { decodeDicom } from '../../../../datasets/images/dicom/decode.js';
import type { FrameChoice } from '../../../../datasets/images/dicom/frames.js';

const folder = join(import.meta.dirname, '../../../oracles/dicom');
const names = readdirSync(folder)
  .filter((file) => file.endsWith('.dcm'))
  .map((file) => file.slice(0, -4));

/** Decoders of lossy streams may round otherwise: 1 of 255. */
const isLossy = (name: string) => /^(jpeg-(grey|rgb|444|422)|jpeg2000-lossy)$/.test(name);

const pixelsOf = (png: string) =>
  sharp(join(folder, png)).toColourspace('srgb').removeAlpha().raw().toBuffer();

/** Largest difference of a frame to its picture. */
async function difference(name: string, frame: FrameChoice, png: string): Promise<number> {
  const { image } = await decodeDicom(readFileSync(join(folder, `${name}.dcm`)), name, { frame });
  const expected = await pixelsOf(png);
  expect(image.data.length, png).toBe(expected.length);
  return Array.from(image.data).reduce((most, byte, i) => Math.max(most, Math.abs(byte - expected[i]!)), 0);
}

test('there is a file for each way to store pixels', () => {
  expect(names.length).toBeGreaterThan(40);
});

test.each(names)('%s looks as pydicom shows it', async (name) => {
  expect(await difference(name, 'first', `${name}.png`)).toBeLessThanOrEqual(isLossy(name) ? 1 : 0);
});

test.each(['frames', 'frames-enhanced', 'jpeg2000-frames'])(
  '%s: the frame that is asked for',
  async (name) => {
    const bytes = readFileSync(join(folder, `${name}.dcm`));
    const { frames } = await decodeDicom(bytes, name);
    expect(await difference(name, 'middle', `${name}.middle.png`)).toBe(0);
    expect(await difference(name, frames, `${name}.last.png`)).toBe(0);
    await expect(decodeDicom(bytes, name, { frame: frames + 1 })).rejects.toThrow(`choose 1 to ${frames}`);
  },
);
