/** @file Folders of data sets with drawn images. */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { temporaryFolder } from '../../runtime/node/runs.js';

const here = import.meta.dirname;

/** Grey waves that differ from image to image. */
export function drawn(seed: number, side = 64): Sharp {
  const data = new Uint8Array(side * side);
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      let sum = 0;
      for (let k = 1; k <= 6; k++) {
        const [u, v] = [Math.sin(seed * 12.9 + k * 78.2) * 9, Math.sin(seed * 39.3 + k * 11.1) * 9];
        sum += Math.sin((u * x + v * y) / side + seed * k);
      }
      data[y * side + x] = 128 + 20 * sum;
    }
  return sharp(data, { raw: { width: side, height: side, channels: 1 } });
}

export async function drawImages(folder: string, names: readonly string[]): Promise<void> {
  for (const [i, name] of names.entries()) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    await drawn(i).toFile(join(folder, name));
  }
}

/** A folder with these files and images. */
export async function folderWith(
  files: Readonly<Record<string, string | Uint8Array>>,
  images: readonly string[] = [],
): Promise<string> {
  const folder = temporaryFolder();
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  await drawImages(folder, images);
  return folder;
}

/** A copy of one of the excerpts of published sets beside this file, with images. */
export async function excerpt(name: string, images: readonly string[]): Promise<string> {
  const folder = temporaryFolder();
  cpSync(join(here, name), folder, { recursive: true });
  await drawImages(folder, images);
  return folder;
}

/** Files that Python wrote, see test/oracles/tables/make_tables.py. */
export const oracle = (name: string): string => join(here, '..', '..', 'oracles', 'tables', name);
