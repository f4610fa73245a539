/** @file Images prepared ahead by threads, or read again each time, are the same bit by bit. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { uniform } from '../../../datasets/random.js';
import { FileError } from '../../../graph-builder/errors.js';
import type { Change } from '../../../runtime/node/image-workers/prepare.js';
import { ImageStore, type ImageStoreOptions } from '../../../runtime/node/images.js';

const SIDE = 24;
const folder = mkdtempSync(join(tmpdir(), 'images-'));
const paths = new Map(['a', 'b', 'c', 'd', 'e'].map((id) => [id, join(folder, `${id}.png`)]));
const stores: ImageStore[] = [];
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()));
});

beforeAll(async () => {
  for (const [id, path] of paths) {
    const data = Uint8Array.from({ length: 40 * 31 * 3 }, (_, i) => 256 * uniform(id, i));
    await sharp(data, { raw: { width: 40, height: 31, channels: 3 } })
      .png()
      .toFile(path);
  }
});

async function loaded(options?: ImageStoreOptions): Promise<ImageStore> {
  const store = new ImageStore(SIDE, 'imagenet', options);
  stores.push(store);
  await store.load(paths);
  return store;
}

const augmentation = { shift: 3, brightness: 0.2, rotate: 9, crop: 0.2, flip: true };
const changes: readonly (Change | undefined)[] = [undefined, { augmentation, words: [0, 'augment', 1, 'x'] }];
const bits = (values: Float32Array) =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('hex');

/** Room for two of five images. */
const little = { limitBytes: 2.5 * 3 * SIDE * SIDE };

test.each<[string, ImageStoreOptions]>([
  ['a thread', { threads: 1 }],
  ['three threads', { threads: 3 }],
  ['little memory', little],
  ['little memory and a thread', { ...little, threads: 1 }],
  ['no memory', { limitBytes: 0, threads: 2 }],
])('%s: the same numbers and hashes, prefetched or not', async (_, options) => {
  const [plain, other] = [await loaded(), await loaded(options)];
  for (const change of changes) {
    for (const id of ['a', 'd', 'e']) other.prefetch(id, change);
    const values = await other.several([...paths.keys()], () => change);
    for (const [i, id] of [...paths.keys()].entries()) {
      expect(bits(values[i]!) === bits(await plain.pixelValues(id, change)), id).toBe(true);
    }
  }
  expect(await other.hashesOf(['e', 'a'])).toEqual(await plain.hashesOf(['e', 'a']));
  expect(plain.unkept).toBe(0);
  expect(other.unkept).toBe(options.limitBytes === undefined ? 0 : options.limitBytes === 0 ? 5 : 3);
});

test('what was prefetched is there when it is asked for: nothing is waited for', async () => {
  const store = await loaded({ threads: 1 });
  for (const id of paths.keys()) store.prefetch(id);
  await store.several([...paths.keys()]);
  const before = store.waitedMs;
  for (const id of paths.keys()) store.prefetch(id);
  await new Promise((resolve) => setTimeout(resolve, 300)); // the model works
  await store.several([...paths.keys()]);
  expect(store.waitedMs - before).toBeLessThan(20);
});

test.each([0, 1])('a damaged image is a clear error, also from a thread (%i)', async (threads) => {
  const path = join(folder, 'broken.png');
  writeFileSync(path, 'no image');
  const store = new ImageStore(SIDE, 'clip', { threads });
  stores.push(store);
  const error = await store.load(new Map([['broken', path]])).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(FileError);
  expect((error as FileError).where).toBe(path);
});

test('what an image was decoded with a warning of is noted once, with its count', async () => {
  const dicom = join(import.meta.dirname, '../../oracles/dicom/rgb.dcm');
  const store = new ImageStore(SIDE, 'clip', { threads: 1 });
  stores.push(store);
  await store.load(
    new Map([
      ['1', dicom],
      ['2', dicom],
    ]),
  );
  expect(store.notes).toEqual([expect.stringMatching(/^2 images: .*text about the patient/)]);
});
