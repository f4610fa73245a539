/** @file What is done with one image: the same code on the main thread and on worker threads. */
import { type Augmentation, augment } from '../../../datasets/images/augment.js';
import type { FrameChoice } from '../../../datasets/images/dicom/frames.js';
import { type NormalisationName, normalisations, toPixelValues } from '../../../datasets/images/normalise.js';
import { resizeImage, toPlanes } from '../../../datasets/images/resize.js';
import { decodeImage } from '../decode-image.js';

/** Shape and numbers of a model's images. */
export interface ImageForm {
  readonly side: number;
  readonly normalisation: NormalisationName;
}

/** A random change; `words` decide the draw. */
export interface Change {
  readonly augmentation: Augmentation;
  readonly words: readonly (number | string)[];
}

export interface Planes {
  /** uint8 [3, side, side], in memory that threads share */
  readonly planes: Uint8Array<SharedArrayBuffer>;
  /** what the user should know */
  readonly notes: readonly string[];
}

/** Decodes and resizes. @throws {FileError} when it is no image. */
export async function readPlanes(
  source: string | Uint8Array,
  side: number,
  frame?: FrameChoice,
): Promise<Planes> {
  const notes: string[] = [];
  const image = await decodeImage(source, {
    ...(frame && { frame }),
    onNote: (note) => notes.push(note),
  });
  const planes = new Uint8Array(new SharedArrayBuffer(3 * side * side));
  planes.set(toPlanes(resizeImage(image, side, side)));
  return { planes, notes };
}

/** float32 [3, side, side], normalised, changed where that is asked for. */
export function pixelValuesOf(planes: Uint8Array, { side, normalisation }: ImageForm, change?: Change) {
  const shown = change ? augment(planes, side, side, change.augmentation, ...change.words) : planes;
  return toPixelValues(shown, side, side, normalisations[normalisation]);
}
