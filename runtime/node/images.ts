/** @file Images at the model's size: decoded once where memory allows, prepared ahead by threads. */
import { createHash } from 'node:crypto';
import type { FrameChoice } from '../../datasets/images/dicom/frames.js';
import type { NormalisationName } from '../../datasets/images/normalise.js';
import { type ImagePreparer, preparerHere, preparerOnThreads, type Wish } from './image-workers/pool.js';
import { type Change, type Planes, pixelValuesOf, readPlanes } from './image-workers/prepare.js';

/** How many images are decoded at once: sharp has threads of its own. */
const AT_ONCE = 4;

/** What is kept unless more or less is asked for. */
const LIMIT_BYTES = 2e9;

export interface ImageStoreOptions {
  /** bytes of decoded images that are kept; what comes later is decoded again each time it is needed */
  readonly limitBytes?: number;
  /** threads that prepare images; 0: this one does */
  readonly threads?: number;
}

/** Decoded images by id, uint8 [3, side, side]. */
export class ImageStore {
  private readonly paths = new Map<string, string>();
  private readonly planes = new Map<string, Uint8Array<SharedArrayBuffer>>();
  private readonly hashes = new Map<string, string>();
  private readonly preparer: ImagePreparer;
  private readonly hasThreads: boolean;
  /** most images that are kept */
  readonly most: number;
  private readonly noted = new Map<string, number>();
  /** images that are being prepared ahead, by what is wanted of them */
  private readonly ahead = new Map<string, Promise<Float32Array>>();
  /** time that {@link several} and {@link hashesOf} took in all */
  waitedMs = 0;

  constructor(
    private readonly side: number,
    private readonly normalisation: NormalisationName,
    { limitBytes = LIMIT_BYTES, threads = 0 }: ImageStoreOptions = {},
  ) {
    this.hasThreads = threads > 0;
    const form = { side, normalisation };
    this.preparer = threads > 0 ? preparerOnThreads(form, threads) : preparerHere(form);
    this.most = Math.floor(limitBytes / (3 * side * side));
  }

  /** Makes files known, and decodes and resizes as many as are kept. */
  async load(paths: ReadonlyMap<string, string>, onImage: () => void = () => {}): Promise<void> {
    for (const [id, path] of paths) this.paths.set(id, path);
    const room = this.most - this.planes.size;
    const waiting = [...paths.keys()].filter((id) => !this.planes.has(id)).slice(0, Math.max(0, room));
    const work = async (): Promise<void> => {
      for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
        await this.prepare(id, { values: false, change: undefined });
        onImage();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  /** What the user should know of the images that were decoded so far, and of how many that is so. */
  get notes(): string[] {
    const counted = (count: number) => (count === 1 ? '1 image: ' : `${count} images: `);
    return [...this.noted].map(([note, n]) => (this.paths.size > 0 ? `${counted(n)}${note}` : note));
  }

  /** Images that are decoded again each time. */
  get unkept(): number {
    return this.paths.size - this.planes.size;
  }

  /** Threads start to prepare what {@link pixelValues} will be asked for. */
  prefetch(id: string, change?: Change): void {
    const key = keyOf(id, change);
    if (!this.hasThreads || this.ahead.has(key)) return;
    const values = this.compute(id, change);
    values.catch(() => {}); // whoever asks for it gets the error
    this.ahead.set(key, values);
  }

  /** float32 [3, side, side], normalised, and changed where that is asked for. */
  pixelValues(id: string, change?: Change): Promise<Float32Array> {
    const key = keyOf(id, change);
    const prepared = this.ahead.get(key);
    this.ahead.delete(key);
    return prepared ?? this.compute(id, change);
  }

  /** {@link pixelValues} of several images, in their order. */
  several(ids: readonly string[], changeOf: (id: string) => Change | undefined = () => undefined) {
    return this.timed(() => Promise.all(ids.map((id) => this.pixelValues(id, changeOf(id)))));
  }

  /** {@link hash} of several images, in their order. */
  hashesOf(ids: readonly string[]): Promise<string[]> {
    return this.timed(() => Promise.all(ids.map((id) => this.hash(id))));
  }

  /** Hash of the decoded and resized pixels: a name that says nothing about the image. */
  async hash(id: string): Promise<string> {
    if (!this.hashes.has(id)) {
      const planes = this.planes.get(id);
      if (planes) this.remember(id, planes);
      else await this.prepare(id, { values: false, change: undefined });
    }
    return this.hashes.get(id)!;
  }

  /** One file that is not part of a data set. */
  async readPixelValues(source: string | Uint8Array, frame?: FrameChoice): Promise<Float32Array> {
    const read = await readPlanes(source, this.side, frame);
    this.note(read);
    return pixelValuesOf(read.planes, { side: this.side, normalisation: this.normalisation });
  }

  /** Ends the threads. */
  close(): Promise<void> {
    return this.preparer.close();
  }

  private async timed<T>(work: () => Promise<T>): Promise<T> {
    const started = performance.now();
    try {
      return await work(); // without threads most of it is done in this call
    } finally {
      this.waitedMs += performance.now() - started;
    }
  }

  private async compute(id: string, change: Change | undefined): Promise<Float32Array> {
    return (await this.prepare(id, { values: true, change })).values!;
  }

  private async prepare(id: string, wish: Pick<Wish, 'values' | 'change'>) {
    const path = this.paths.get(id);
    if (path === undefined) throw new Error(`internal: image ${id} was not loaded`);
    const prepared = await this.preparer.prepare({ path, planes: this.planes.get(id), ...wish });
    if (prepared.read && !this.hashes.has(id)) {
      this.note(prepared.read);
      this.remember(id, prepared.read.planes);
      if (this.planes.size < this.most) this.planes.set(id, prepared.read.planes);
    }
    return prepared;
  }

  private remember(id: string, planes: Uint8Array): void {
    this.hashes.set(id, createHash('sha256').update(planes).digest('hex').slice(0, 32));
  }

  private note({ notes }: Planes): void {
    for (const note of notes) this.noted.set(note, (this.noted.get(note) ?? 0) + 1);
  }
}

const keyOf = (id: string, change: Change | undefined): string => JSON.stringify([id, change?.words ?? null]);
