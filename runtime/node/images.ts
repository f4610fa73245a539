/** @file Images at the model's size, decoded once and kept as bytes. */
import { createHash } from 'node:crypto';
import { type Augmentation, augment } from '../../datasets/images/augment.js';
import { type NormalisationName, normalisations, toPixelValues } from '../../datasets/images/normalise.js';
import { resizeImage, toPlanes } from '../../datasets/images/resize.js';
import { decodeImage } from './decode-image.js';

/** How many images are decoded at once: sharp has threads of its own. */
const AT_ONCE = 4;

/** Decoded images by id, uint8 [3, side, side]. */
export class ImageStore {
  private readonly planes = new Map<string, Uint8Array>();
  private readonly hashes = new Map<string, string>();

  constructor(
    private readonly side: number,
    private readonly normalisation: NormalisationName,
  ) {}

  /** Decodes and resizes the images that are not there yet. */
  async load(paths: ReadonlyMap<string, string>, onImage: () => void = () => {}): Promise<void> {
    const waiting = [...paths].filter(([id]) => !this.planes.has(id));
    const work = async (): Promise<void> => {
      for (let next = waiting.pop(); next; next = waiting.pop()) {
        this.planes.set(next[0], await this.read(next[1]));
        onImage();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  /** float32 [3, side, side], normalised; changed by `augmentation` as drawn from `words`. */
  pixelValues(id: string, augmentation?: Augmentation, ...words: readonly (number | string)[]): Float32Array {
    const planes = this.planesOf(id);
    const { side } = this;
    const shown = augmentation ? augment(planes, side, side, augmentation, ...words, id) : planes;
    return toPixelValues(shown, side, side, normalisations[this.normalisation]);
  }

  /** Hash of the decoded and resized pixels: a name that says nothing about the image. */
  hash(id: string): string {
    let hash = this.hashes.get(id);
    if (!hash) {
      hash = createHash('sha256').update(this.planesOf(id)).digest('hex').slice(0, 32);
      this.hashes.set(id, hash);
    }
    return hash;
  }

  private planesOf(id: string): Uint8Array {
    const planes = this.planes.get(id);
    if (!planes) throw new Error(`internal: image ${id} was not loaded`);
    return planes;
  }

  /** One file that is not part of a data set. */
  async readPixelValues(source: string | Uint8Array): Promise<Float32Array> {
    return toPixelValues(await this.read(source), this.side, this.side, normalisations[this.normalisation]);
  }

  private async read(source: string | Uint8Array): Promise<Uint8Array> {
    return toPlanes(resizeImage(await decodeImage(source), this.side, this.side));
  }
}
