/** @file Small random changes of training images, as a function of names: resume sees the same images. */
import { uniform } from '../random.js';

export interface Augmentation {
  /** Largest shift in pixels, along each axis. */
  readonly shift: number;
  /** Largest relative change of brightness: 0.1 means a factor between 0.9 and 1.1. */
  readonly brightness: number;
}

/**
 * Shifts an image and makes it brighter or darker; what the shift uncovers repeats the edge.
 * Never flips: left and right are what some questions ask about.
 *
 * @param planes uint8 [3, height, width]
 * @param words decide the draw: (seed, epoch, imageId)
 */
export function augment(
  planes: Uint8Array,
  height: number,
  width: number,
  { shift, brightness }: Augmentation,
  ...words: readonly (number | string)[]
): Uint8Array {
  const draw = (axis: string) => Math.floor(uniform(...words, axis) * (2 * shift + 1)) - shift;
  const down = draw('shift-y');
  const right = draw('shift-x');
  const factor = 1 + brightness * (2 * uniform(...words, 'brightness') - 1);
  const bytes = Uint8ClampedArray.from({ length: 256 }, (_, byte) => byte * factor);
  const changed = new Uint8Array(planes.length);
  let at = 0;
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < height; y++) {
      const row = (c * height + clamp(y - down, height)) * width;
      for (let x = 0; x < width; x++) changed[at++] = bytes[planes[row + clamp(x - right, width)]!]!;
    }
  }
  return changed;
}

const clamp = (index: number, size: number) => Math.min(Math.max(index, 0), size - 1);
