/** @file Finds the same picture in other files: encoded again, scaled, brightened. Pure. */
import type { RgbImage } from './resize.js';

/** Side of the thumbnail that is hashed. */
const SIDE = 32;
/** Lowest frequencies of each axis that make the hash. */
const FREQUENCIES = 8;

/**
 * Largest distance of the hashes of copies, in bits of 64, and least correlation of their thumbnails.
 *
 * On the 314 images of VQA-RAD: copies (JPEG at quality 30, half size, squeezed to 224 x 224, 15% brighter) lie at 0
 * to 4 bits and 0.988 to 1; different images, all 49,141 pairs of them, at 10 bits or more and below 0.97. Crops are
 * not found: cutting 3% off each edge moves the hash by 8 bits in the median.
 */
export const NEAR_BITS = 6;
export const NEAR_CORRELATION = 0.98;

export interface Fingerprint {
  /** grey, uint8 [32, 32] */
  readonly thumbnail: Uint8Array;
  /** 64 bits: high and low half */
  readonly hash: readonly [number, number];
}

/** For each of `SIDE` stretches of an axis: the pixels it covers, and how much of each. */
function coverage(length: number): [number, number][][] {
  return Array.from({ length: SIDE }, (_, i) => {
    const [from, to] = [(i * length) / SIDE, ((i + 1) * length) / SIDE];
    const pixels: [number, number][] = [];
    for (let p = Math.floor(from); p < Math.ceil(to); p++)
      pixels.push([p, Math.min(to, p + 1) - Math.max(from, p)]);
    return pixels;
  });
}

/** Mean brightness of each of 32 x 32 fields of any shape. Averages do not depend on the size of the image. */
function greyThumbnail({ data, width, height }: RgbImage): Uint8Array {
  const columns = coverage(width);
  const narrow = new Float32Array(SIDE * height); // [height, SIDE]
  const row = new Float32Array(width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = 3 * (y * width + x);
      row[x] = 0.299 * data[at]! + 0.587 * data[at + 1]! + 0.114 * data[at + 2]!;
    }
    for (let i = 0; i < SIDE; i++) {
      let sum = 0;
      for (const [x, share] of columns[i]!) sum += row[x]! * share;
      narrow[y * SIDE + i] = sum;
    }
  }
  const thumbnail = new Uint8Array(SIDE * SIDE);
  const area = (width * height) / (SIDE * SIDE);
  for (const [j, rows] of coverage(height).entries())
    for (let i = 0; i < SIDE; i++) {
      let sum = 0;
      for (const [y, share] of rows) sum += narrow[y * SIDE + i]! * share;
      thumbnail[j * SIDE + i] = Math.round(sum / area);
    }
  return thumbnail;
}

/** cosines[u][x] of the discrete cosine transform (DCT-II), unscaled */
const cosines = Array.from({ length: FREQUENCIES }, (_, u) =>
  Float64Array.from({ length: SIDE }, (_, x) => Math.cos(((2 * x + 1) * u * Math.PI) / (2 * SIDE))),
);

/** The 8 x 8 lowest coefficients of the transform, row by row. */
function lowFrequencies(thumbnail: Uint8Array): number[] {
  const coefficients: number[] = [];
  for (let v = 0; v < FREQUENCIES; v++)
    for (let u = 0; u < FREQUENCIES; u++) {
      let sum = 0;
      for (let y = 0; y < SIDE; y++)
        for (let x = 0; x < SIDE; x++) sum += thumbnail[y * SIDE + x]! * cosines[u]![x]! * cosines[v]![y]!;
      coefficients.push(sum);
    }
  return coefficients;
}

/**
 * Fingerprint of an image.
 *
 * Hash: which of the lowest 8 x 8 coefficients of the thumbnail's cosine transform exceed the median of all but the
 * first, which is the mean brightness.
 * Source: pHash (Zauner 2010, "Implementation and benchmarking of perceptual image hash functions", section 3.2.1).
 */
export function fingerprint(image: RgbImage): Fingerprint {
  const thumbnail = greyThumbnail(image);
  const coefficients = lowFrequencies(thumbnail);
  const median = coefficients.slice(1).sort((a, b) => a - b)[31]!;
  const half = (start: number) =>
    coefficients.slice(start, start + 32).reduce((bits, c) => (bits << 1) | Number(c > median), 0) >>> 0;
  return { thumbnail, hash: [half(0), half(32)] };
}

function bitCount(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Differing bits of 64. */
export const hashDistance = ({ hash: a }: Fingerprint, { hash: b }: Fingerprint): number =>
  bitCount(a[0] ^ b[0]) + bitCount(a[1] ^ b[1]);

/** Pearson's correlation of the thumbnails; 1 for two blank ones, 0 for one. */
export function correlation({ thumbnail: a }: Fingerprint, { thumbnail: b }: Fingerprint): number {
  const mean = (pixels: Uint8Array) => pixels.reduce((sum, p) => sum + p, 0) / pixels.length;
  const [meanA, meanB] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]! - meanA, b[i]! - meanB];
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  if (aa === 0 && bb === 0) return 1;
  return aa === 0 || bb === 0 ? 0 : ab / Math.sqrt(aa * bb);
}

/** Bits of the seven bands that a hash is cut into: of hashes 6 bits apart at least one band is equal. */
const bands = [9, 9, 9, 9, 9, 9, 10];

function bandsOf({ hash: [high, low] }: Fingerprint): number[] {
  const value = (BigInt(high) << 32n) | BigInt(low);
  let shift = 0n;
  return bands.map((width, band) => {
    const bits = Number((value >> shift) & ((1n << BigInt(width)) - 1n));
    shift += BigInt(width);
    return band * 1024 + bits;
  });
}

/** Pairs of images that are copies of each other, in the order given. */
export function nearDuplicates(prints: ReadonlyMap<string, Fingerprint>): [string, string][] {
  const buckets = new Map<number, string[]>();
  const pairs: [string, string][] = [];
  for (const [id, print] of prints) {
    const candidates = new Set<string>();
    for (const band of bandsOf(print)) {
      const bucket = buckets.get(band);
      if (!bucket) {
        buckets.set(band, [id]);
        continue;
      }
      for (const other of bucket) candidates.add(other);
      bucket.push(id);
    }
    for (const other of candidates) {
      const known = prints.get(other)!;
      if (hashDistance(known, print) <= NEAR_BITS && correlation(known, print) >= NEAR_CORRELATION)
        pairs.push([other, id]);
    }
  }
  return pairs;
}
