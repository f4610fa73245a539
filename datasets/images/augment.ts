/** @file Small random changes of training images, as a function of names: resume sees the same images. */
import { uniform } from '../random.js';

export interface Augmentation {
  /** Largest shift in pixels, along each axis. */
  readonly shift: number;
  /** Largest relative change of brightness: 0.1 means a factor between 0.9 and 1.1. */
  readonly brightness: number;
  /** Largest rotation either way, degrees. */
  readonly rotate?: number;
  /** Largest share of each side that is cut away; what is left is enlarged. */
  readonly crop?: number;
  /** Half of the images are mirrored: left becomes right. */
  readonly flip?: boolean;
}

type Words = readonly (number | string)[];

const clamp = (index: number, size: number) => Math.min(Math.max(index, 0), size - 1);

/** Draws from [-1, 1). */
const around = (...words: Words): number => 2 * uniform(...words) - 1;

/** Moves by whole pixels; what is uncovered repeats the edge. */
function moved(planes: Uint8Array, height: number, width: number, down: number, right: number): Uint8Array {
  const result = new Uint8Array(planes.length);
  let at = 0;
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < height; y++) {
      const row = (c * height + clamp(y - down, height)) * width;
      for (let x = 0; x < width; x++) result[at++] = planes[row + clamp(x - right, width)]!;
    }
  }
  return result;
}

/** Source of a pixel: x' = xx·x + xy·y + x0, y' = yx·x + yy·y + y0, in pixels from the centre. */
interface Affine {
  readonly xx: number;
  readonly xy: number;
  readonly x0: number;
  readonly yx: number;
  readonly yy: number;
  readonly y0: number;
}

/** The rotation, the cut and the mirror that `words` draw. */
function drawAffine(
  { rotate = 0, crop = 0, flip = false }: Augmentation,
  height: number,
  width: number,
  words: Words,
) {
  const angle = (around(...words, 'rotate') * rotate * Math.PI) / 180;
  const cut = uniform(...words, 'crop') * crop;
  const mirror = flip && uniform(...words, 'flip') < 0.5 ? -1 : 1;
  const scale = 1 - cut;
  const [cos, sin] = [scale * Math.cos(angle), scale * Math.sin(angle)];
  return {
    xx: mirror * cos,
    xy: sin,
    x0: (around(...words, 'crop-x') * cut * width) / 2,
    yx: mirror * -sin,
    yy: cos,
    y0: (around(...words, 'crop-y') * cut * height) / 2,
  } satisfies Affine;
}

/** Bilinear between the four nearest pixels; beyond the edge the edge goes on. */
function warped(planes: Uint8Array, height: number, width: number, to: Affine): Uint8Array {
  const result = new Uint8Array(planes.length);
  const size = height * width;
  const [cx, cy] = [(width - 1) / 2, (height - 1) / 2];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const sx = clamp(to.xx * (x - cx) + to.xy * (y - cy) + to.x0 + cx, width);
      const sy = clamp(to.yx * (x - cx) + to.yy * (y - cy) + to.y0 + cy, height);
      const [left, top] = [Math.floor(sx), Math.floor(sy)];
      const [u, v] = [sx - left, sy - top];
      const right = clamp(left + 1, width);
      const bottom = clamp(top + 1, height);
      for (let c = 0; c < 3; c++) {
        const upper = c * size + top * width;
        const lower = c * size + bottom * width;
        const above = planes[upper + left]! * (1 - u) + planes[upper + right]! * u;
        const below = planes[lower + left]! * (1 - u) + planes[lower + right]! * u;
        result[c * size + y * width + x] = Math.floor(above * (1 - v) + below * v + 0.5);
      }
    }
  }
  return result;
}

/**
 * Shifts an image and makes it brighter or darker; where asked for, also rotates, cuts and mirrors it. What is
 * uncovered repeats the edge.
 *
 * Mirroring is wrong wherever a side matters: an answer "left" becomes false, and a mirrored chest film shows
 * situs inversus.
 *
 * @param planes uint8 [3, height, width]
 * @param words decide the draw: (seed, epoch, imageId)
 */
export function augment(
  planes: Uint8Array,
  height: number,
  width: number,
  augmentation: Augmentation,
  ...words: Words
): Uint8Array {
  const { shift, brightness, rotate = 0, crop = 0, flip = false } = augmentation;
  const draw = (axis: string) => Math.floor(uniform(...words, axis) * (2 * shift + 1)) - shift;
  let changed = moved(planes, height, width, draw('shift-y'), draw('shift-x'));
  if (rotate > 0 || crop > 0 || flip)
    changed = warped(changed, height, width, drawAffine(augmentation, height, width, words));
  const factor = 1 + brightness * around(...words, 'brightness');
  const bytes = Uint8ClampedArray.from({ length: 256 }, (_, byte) => byte * factor);
  return changed.map((byte) => bytes[byte]!);
}
