import { readFileSync } from 'node:fs';
import sharp, { type Sharp } from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  correlation,
  type Fingerprint,
  fingerprint,
  hashDistance,
  NEAR_BITS,
  NEAR_CORRELATION,
  nearDuplicates,
} from '../../../datasets/images/perceptual-hash.js';
import { uniform } from '../../../datasets/random.js';
import { loadVqaRad } from '../../../datasets/vqa-rad.js';
import { decodeImage } from '../../../runtime/node/decode-image.js';
import { oracle } from '../formats/sets.js';

const dataset = loadVqaRad();
const ids = [...new Set(dataset.questions.map((q) => q.imageId))].sort();
const prints = new Map<string, Fingerprint>();
const printOf = async (source: string | Uint8Array) => fingerprint(await decodeImage(source));

beforeAll(async () => {
  for (const id of ids) prints.set(id, await printOf(dataset.imagePath(id)));
});

test("hashes are those of Pillow's box filter and scipy's cosine transform", () => {
  const golden: Record<string, string> = JSON.parse(readFileSync(oracle('hashes.golden.json'), 'utf8'));
  expect(Object.keys(golden).length).toBeGreaterThan(6);
  for (const [id, bits] of Object.entries(golden)) {
    const [high, low] = prints.get(id)!.hash;
    const own = [high, low].map((word) => word.toString(2).padStart(32, '0')).join('');
    const differing = [...own].filter((bit, i) => bit !== bits[i]).length;
    // JPEG decoders differ by a level or two: a coefficient at the median may change sides
    expect(differing, id).toBeLessThanOrEqual(2);
  }
});

test('different images of VQA-RAD are far apart: no pair is taken for a copy', () => {
  let [nearest, likest] = [64, 0];
  for (const [i, a] of ids.entries())
    for (const b of ids.slice(i + 1)) {
      nearest = Math.min(nearest, hashDistance(prints.get(a)!, prints.get(b)!));
      likest = Math.max(likest, correlation(prints.get(a)!, prints.get(b)!));
    }
  expect(nearest).toBeGreaterThan(NEAR_BITS + 2);
  expect(likest).toBeLessThan(NEAR_CORRELATION);
  expect(nearDuplicates(prints)).toEqual([]);
});

describe('copies are found', () => {
  const changes: [string, (image: Sharp, width: number) => Sharp][] = [
    ['JPEG at quality 30', (image) => image.jpeg({ quality: 30 })],
    ['half size', (image, width) => image.resize(width >> 1).jpeg({ quality: 80 })],
    ['squeezed to a square of 224', (image) => image.resize(224, 224, { fit: 'fill' }).png()],
    ['15% brighter', (image) => image.linear(1.15, 8).jpeg()],
    ['as TIFF in grey', (image) => image.greyscale().tiff()],
  ];
  test.each(changes)('%s', async (_, change) => {
    const some = ids.filter((_, i) => i % 8 === 3);
    const all = new Map(prints);
    for (const id of some) {
      const source = sharp(dataset.imagePath(id));
      const { width } = await source.metadata();
      all.set(`copy ${id}`, await printOf(await change(source, width).toBuffer()));
    }
    expect(new Map(nearDuplicates(all))).toEqual(new Map(some.map((id) => [id, `copy ${id}`])));
  });
});

test('the buckets miss no pair that comparing all would find', () => {
  const random: [string, Fingerprint][] = Array.from({ length: 400 }, (_, i) => {
    const base = i - (i % 4); // families of four, a few bits apart
    const bits = Array.from({ length: 64 }, (_, b) => {
      const bit = uniform(base, b) < 0.5 ? 1 : 0;
      return uniform('flip', i, b) < 0.06 ? 1 - bit : bit;
    });
    const word = (from: number) => bits.slice(from, from + 32).reduce((w, bit) => (w << 1) | bit, 0) >>> 0;
    return [`${i}`, { thumbnail: new Uint8Array(1024), hash: [word(0), word(32)] }];
  });
  const wanted = random.flatMap(([a, x], i) =>
    random.slice(i + 1).flatMap(([b, y]) => (hashDistance(x, y) <= NEAR_BITS ? [`${a} ${b}`] : [])),
  );
  expect(wanted.length).toBeGreaterThan(50);
  expect(new Set(nearDuplicates(new Map(random)).map((pair) => pair.join(' ')))).toEqual(new Set(wanted));
});
