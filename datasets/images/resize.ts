/** @file Antialiased bilinear resize, the same numbers in Node and in the browser. */

/** 8-bit RGB, pixel after pixel: `data` [height, width, 3]. */
export interface RgbImage {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

/** Fixed-point bits of a weight: 8 bits of a pixel and 2 of head room are left of 32. */
const BITS = 22;
const HALF = 1 << (BITS - 1);

/** Weights of output pixel i are `weights[i * taps …]`, for input pixels `first[i] … first[i] + count[i]`. */
interface Kernel {
  readonly taps: number;
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly weights: Int32Array;
}

/**
 * Weights of a triangle filter, as wide as the shrinking: w(d) = max(0, 1 − |d| / scale).
 * Pixel centres lie at half pixels. Source: Pillow, libImaging/Resample.c, precompute_coeffs.
 */
function triangleKernel(inSize: number, outSize: number): Kernel {
  const ratio = inSize / outSize;
  const scale = Math.max(1, ratio);
  const taps = Math.ceil(scale) * 2 + 1;
  const first = new Int32Array(outSize);
  const count = new Int32Array(outSize);
  const weights = new Int32Array(outSize * taps);
  for (let i = 0; i < outSize; i++) {
    const centre = (i + 0.5) * ratio;
    const from = Math.max(0, Math.trunc(centre - scale + 0.5));
    const to = Math.min(inSize, Math.trunc(centre + scale + 0.5));
    const raw = Array.from({ length: to - from }, (_, k) =>
      Math.max(0, 1 - Math.abs((k + from - centre + 0.5) / scale)),
    );
    const sum = raw.reduce((a, b) => a + b, 0);
    first[i] = from;
    count[i] = raw.length;
    for (const [k, w] of raw.entries()) weights[i * taps + k] = Math.trunc(0.5 + (w / sum) * 2 ** BITS);
  }
  return { taps, first, count, weights };
}

/**
 * One pass along an axis whose neighbours are `step` apart; `lineStart(line)` is the first element of a line.
 * Rounds to 8 bits, as Pillow does between its passes.
 */
function resample(
  source: Uint8Array | Uint8ClampedArray,
  target: Uint8Array,
  { taps, first, count, weights }: Kernel,
  lines: {
    count: number;
    step: number;
    sourceStart(line: number): number;
    targetStart(line: number): number;
  },
): void {
  for (let line = 0; line < lines.count; line++) {
    const from = lines.sourceStart(line);
    const to = lines.targetStart(line);
    for (let i = 0; i < first.length; i++) {
      let at = from + first[i]! * lines.step;
      let sum = HALF;
      for (let k = 0; k < count[i]!; k++, at += lines.step) sum += source[at]! * weights[i * taps + k]!;
      target[to + i * lines.step] = Math.min(255, sum >> BITS);
    }
  }
}

/**
 * Resizes to exactly `height` x `width`; the aspect ratio is not kept.
 *
 * Equal to Pillow's `resize(…, BILINEAR)`, which torchvision's antialiased bilinear resize is for images.
 */
export function resizeImage(
  { data, width: inWidth, height: inHeight }: RgbImage,
  height: number,
  width: number,
) {
  const inRow = inWidth * 3;
  const row = width * 3;
  const narrow = new Uint8Array(inHeight * row);
  resample(data, narrow, triangleKernel(inWidth, width), {
    count: inHeight * 3,
    step: 3,
    sourceStart: (line) => Math.trunc(line / 3) * inRow + (line % 3),
    targetStart: (line) => Math.trunc(line / 3) * row + (line % 3),
  });
  const resized = new Uint8Array(height * row);
  resample(narrow, resized, triangleKernel(inHeight, height), {
    count: row,
    step: row,
    sourceStart: (column) => column,
    targetStart: (column) => column,
  });
  return { data: resized, width, height } satisfies RgbImage;
}

/** The three colour planes one after the other: uint8 [3, height, width]. */
export function toPlanes({ data, width, height }: RgbImage): Uint8Array {
  const size = width * height;
  const planes = new Uint8Array(3 * size);
  for (let i = 0; i < size; i++) {
    for (let c = 0; c < 3; c++) planes[c * size + i] = data[3 * i + c]!;
  }
  return planes;
}

/** Grey → red = green = blue: [pixels] → [pixels, 3]. */
export function repeatGrey(grey: Uint8Array): Uint8Array {
  const rgb = new Uint8Array(3 * grey.length);
  for (let i = 0; i < grey.length; i++) rgb.fill(grey[i]!, 3 * i, 3 * i + 3);
  return rgb;
}
