/** @file Image states, computed once an image and image encoder, kept as long as somebody holds the image. */
import { float32, floats, type Tensor } from './session.js';

/** States of one image: [tokens, hidden] and its axes. */
interface OneState {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

export class ImageStates {
  /** by the array of an image's pixels, then by its encoder */
  private readonly known = new WeakMap<Float32Array, WeakMap<object, OneState>>();

  /**
   * States [images, tokens, hidden] of some images.
   *
   * @param encoder the same object for what gives the same states
   * @param images the same array means the same image: pixels are not to be changed in place
   * @param encode states of images that are not known yet
   */
  async of(
    encoder: object,
    images: readonly Float32Array[],
    encode: (images: readonly Float32Array[]) => Promise<Tensor>,
  ): Promise<Tensor> {
    const missing = [...new Set(images)].filter((image) => !this.known.get(image)?.has(encoder));
    if (missing.length > 0) this.keep(encoder, missing, await encode(missing));
    const states = images.map((image) => this.known.get(image)!.get(encoder)!);
    const { dims, data } = states[0]!;
    if (states.length === 1) return float32(data, [1, ...dims]);
    const all = new Float32Array(states.length * data.length);
    states.forEach((state, i) => {
      all.set(state.data, i * data.length);
    });
    return float32(all, [states.length, ...dims]);
  }

  private keep(encoder: object, images: readonly Float32Array[], states: Tensor): void {
    const size = states.data.length / images.length;
    const dims = states.dims.slice(1);
    images.forEach((image, i) => {
      const own = this.known.get(image) ?? new WeakMap<object, OneState>();
      // a copy: a part of the whole would keep all of it
      own.set(encoder, { data: floats(states).slice(i * size, (i + 1) * size), dims });
      this.known.set(image, own);
    });
  }
}
