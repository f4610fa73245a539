/** @file Heat maps as colours over an image: inferno, whose lightness rises evenly. */
import type { HeatMap } from './explain.js';

/** Inferno at 0, 1/8 … 1, sRGB. Source: Smith and van der Walt 2015, matplotlib's `inferno` (CC0). */
const INFERNO: readonly (readonly [number, number, number])[] = [
  [0, 0, 4],
  [31, 12, 72],
  [85, 15, 109],
  [136, 34, 106],
  [186, 54, 85],
  [227, 89, 51],
  [249, 140, 10],
  [249, 201, 50],
  [252, 255, 164],
];

/** Colour of a value in [0, 1], sRGB 0 to 255. */
export function inferno(value: number): [number, number, number] {
  const at = Math.min(1, Math.max(0, value)) * (INFERNO.length - 1);
  const below = Math.min(INFERNO.length - 2, Math.floor(at));
  const [a, b] = [INFERNO[below]!, INFERNO[below + 1]!];
  return [0, 1, 2].map((c) => Math.round(a[c]! + (b[c]! - a[c]!) * (at - below))) as [number, number, number];
}

/** The values stretched to [0, 1]: least 0, most 1; all 0 when they are equal. */
export function stretched(values: Float32Array): Float32Array {
  let [low, high] = [Infinity, -Infinity];
  for (const v of values) [low, high] = [Math.min(low, v), Math.max(high, v)];
  return values.map((v) => (high > low ? (v - low) / (high - low) : 0));
}

/** The patch centres before and after a pixel, and how far it is from the first to the second. */
function between(pixel: number, size: number, count: number): [number, number, number] {
  const at = Math.min(count - 1, Math.max(0, ((pixel + 0.5) / size) * count - 0.5));
  const below = Math.floor(at);
  return [below, Math.min(count - 1, below + 1), at - below];
}

/** Opacity of the hottest place; cold ones let the image through. */
const OPACITY = 0.7;

/**
 * An image with a heat map over it: bilinear between the centres of patches, transparent where it is cold.
 *
 * @param rgb uint8 [height, width, 3]; the map covers the whole of it, as the model saw it.
 * @returns uint8 [height, width, 3]
 */
export function overlay(
  rgb: Uint8Array | Uint8ClampedArray,
  width: number,
  height: number,
  { rows, columns, values }: HeatMap,
): Uint8Array {
  const heat = stretched(values);
  const painted = new Uint8Array(rgb.length);
  for (let y = 0; y < height; y++) {
    const [top, bottom, down] = between(y, height, rows);
    for (let x = 0; x < width; x++) {
      const [left, right, across] = between(x, width, columns);
      const row = (r: number) =>
        heat[r * columns + left]! * (1 - across) + heat[r * columns + right]! * across;
      const t = row(top) * (1 - down) + row(bottom) * down;
      const colour = inferno(t);
      const i = 3 * (y * width + x);
      for (let c = 0; c < 3; c++) {
        painted[i + c] = Math.round(rgb[i + c]! * (1 - OPACITY * t) + colour[c]! * OPACITY * t);
      }
    }
  }
  return painted;
}
