/** @file Frozen features: computed once an item, kept in a store, put together for any batch. */
import { type Feeds, float32, floats, type Session, type Tensor } from './session.js';

/** A feature of the frozen graph: `size` numbers an item, or a token of it. */
export interface FeatureLayout {
  readonly name: string;
  readonly size: number;
  readonly perToken: boolean;
}

/** A part of an entry and where it is wanted. */
export interface EntryPart {
  /** first number of the part in the entry */
  readonly from: number;
  readonly target: Float32Array;
}

/** Where entries are kept: float32 numbers by key. */
export interface FeatureStore {
  /** Reads parts of an entry of `length` numbers; false when it is absent, of another length or damaged. */
  read(key: string, length: number, parts: readonly EntryPart[]): boolean;
  /** Keeps an entry if there is room. */
  write(key: string, numbers: Float32Array): void;
}

/** An image, or a question about one. */
export interface FeatureItem {
  readonly key: string;
  /** 1 where no feature is kept a token */
  readonly tokens: number;
}

/** Items that the frozen graph runs on at once: their activations are all in memory. */
const AT_ONCE = 4;

export class FrozenFeatures {
  private readonly arrays = new Map<string, Float32Array>();
  /** time that the frozen graph took, and how many items it ran on */
  computed = { items: 0, ms: 0 };

  constructor(
    private readonly session: Pick<Session, 'run'>,
    private readonly store: FeatureStore,
    private readonly layout: readonly FeatureLayout[],
  ) {}

  /**
   * Feeds of a batch: each feature as [items, size] or [items·tokens, size], short items filled up with zeros.
   *
   * @param inputsOf the frozen graph's feeds for some of the items, by their indices
   * The arrays are the same ones at the next call for the same slot: hundreds of megabytes are not asked for again at
   * every step.
   *
   * @param tokens tokens of the longest item, rounded up as the batch's masks are
   * @param slot which of several batches that are needed at once
   */
  async feeds(
    items: readonly FeatureItem[],
    tokens: number,
    inputsOf: (indices: readonly number[]) => Feeds | Promise<Feeds>,
    slot = 0,
  ): Promise<Feeds> {
    const batch = this.layout.map(({ name, size, perToken }) => {
      const width = perToken ? size * tokens : size;
      const data = this.array(`${slot} ${name}`, items.length * width);
      if (perToken) data.fill(0); // what short items leave free
      return { width, data };
    });
    const rowsOf = (index: number) =>
      batch.map(({ width, data }) => data.subarray(index * width, (index + 1) * width));
    // an item that comes again is copied
    const firstOf = items.map(({ key }) => items.findIndex((other) => other.key === key));
    const missing = items.flatMap((item, i) => (firstOf[i] !== i || this.recall(item, rowsOf(i)) ? [] : [i]));
    for (let at = 0; at < missing.length; at += AT_ONCE) {
      const part = missing.slice(at, at + AT_ONCE);
      await this.compute(part, items, await inputsOf(part), rowsOf);
    }
    for (const [i, first] of firstOf.entries())
      if (first !== i) for (const [f, row] of rowsOf(i).entries()) row.set(rowsOf(first)[f]!);
    const entries = this.layout.map(({ name, size, perToken }, f): [string, Tensor] => [
      name,
      float32(batch[f]!.data, [perToken ? items.length * tokens : items.length, size]),
    ]);
    return Object.fromEntries(entries);
  }

  /** An array of this length, the same memory as before where it suffices. */
  private array(key: string, length: number): Float32Array {
    let whole = this.arrays.get(key);
    if (!whole || whole.length < length) {
      whole = new Float32Array(length);
      this.arrays.set(key, whole);
    }
    return whole.subarray(0, length);
  }

  private lengths = ({ tokens }: FeatureItem): number[] =>
    this.layout.map(({ size, perToken }) => (perToken ? size * tokens : size));

  private recall(item: FeatureItem, rows: readonly Float32Array[]): boolean {
    const lengths = this.lengths(item);
    let from = 0;
    const parts = lengths.map((length, f) => {
      from += length;
      return { from: from - length, target: rows[f]!.subarray(0, length) };
    });
    return this.store.read(item.key, from, parts);
  }

  private async compute(
    indices: readonly number[],
    items: readonly FeatureItem[],
    inputs: Feeds,
    rowsOf: (index: number) => readonly Float32Array[],
  ): Promise<void> {
    const started = performance.now();
    const outputs = await this.session.run(
      inputs,
      this.layout.map(({ name }) => name),
    );
    this.computed = {
      items: this.computed.items + indices.length,
      ms: this.computed.ms + performance.now() - started,
    };
    indices.forEach((index, row) => {
      const item = items[index]!;
      const rows = rowsOf(index);
      const lengths = this.lengths(item);
      const entry = new Float32Array(lengths.reduce((a, b) => a + b, 0));
      let at = 0;
      this.layout.forEach(({ name }, f) => {
        const { data, dims } = outputs[name]!;
        const width = data.length / indices.length;
        const own = floats({ data, dims }).subarray(row * width, row * width + lengths[f]!);
        rows[f]!.set(own);
        entry.set(own, at);
        at += lengths[f]!;
      });
      this.store.write(item.key, entry);
    });
  }
}
