/** @file Arrays in a safetensors file, for imported models: what a graph's inputs and labels are fed from. */

import { shuffled } from '../../../datasets/random.js';
import { FileError, UserError } from '../../../graph-builder/errors.js';
import type { ImportedManifest } from '../../../training-artifacts/graphs/manifest.js';
import { withSafetensors } from '../../../training-artifacts/weights/safetensors-file.js';
import type { Feeds, Tensor, TensorData } from '../../core/session.js';
import type { TrainOptions } from './options.js';
import type { TaskBatch, TrainingTask } from './task.js';

/** The arrays that each dtype of a graph is read as, and the safetensors types that fit it. */
const readers: Readonly<Record<string, Readonly<Record<string, (buffer: ArrayBufferLike) => TensorData>>>> = {
  float32: { F32: (b) => new Float32Array(b) },
  int32: {
    I32: (b) => new Int32Array(b),
    I64: (b) => Int32Array.from(new BigInt64Array(b), Number),
  },
  int64: {
    I64: (b) => new BigInt64Array(b),
    I32: (b) => BigInt64Array.from(new Int32Array(b), BigInt),
  },
};

/** Reads the inputs. @throws {FileError} naming the array that is missing or does not fit. */
function readArrays(path: string, inputs: ImportedManifest['inputs']): Map<string, Tensor> {
  return withSafetensors(path, (file) => {
    const arrays = inputs.map(({ name, dtype, shape }): [string, Tensor] => {
      const { dtype: stored, shape: dims } = file.entry(name);
      const read = readers[dtype]?.[stored];
      const fits =
        dims.length === shape.length &&
        shape.every((d, i) => i === 0 || typeof d === 'string' || d === dims[i]);
      if (!read || !fits) {
        throw new FileError(
          `${name} is ${stored} [${dims}], the model takes ${dtype} [${shape}]`,
          path,
          'give an array of samples along the first axis',
        );
      }
      return [name, { data: read(file.bytes(name).buffer), dims }];
    });
    return new Map(arrays);
  });
}

/** Rows of an array along its first axis. */
function rowsOf({ data, dims }: Tensor, indices: readonly number[]): Tensor {
  const width = dims.slice(1).reduce((p, n) => p * n, 1);
  const picked = new (data.constructor as new (length: number) => TensorData)(indices.length * width);
  indices.forEach((row, i) => {
    picked.set(data.subarray(row * width, (row + 1) * width) as never, i * width);
  });
  return { data: picked, dims: [indices.length, ...dims.slice(1)] };
}

export class ArraysTask implements TrainingTask {
  readonly size: number;
  readonly notes: readonly string[];
  private readonly arrays: ReadonlyMap<string, Tensor>;
  private readonly order: readonly number[];

  /** @throws {UserError} for options that need pictures and questions; {FileError} for arrays that do not fit. */
  constructor(
    manifest: ImportedManifest,
    private readonly options: TrainOptions,
  ) {
    const { data, accumulate, batchSize } = options;
    if (!data.endsWith('.safetensors')) {
      const names = manifest.inputs.map(({ name }) => name).join(', ');
      throw new UserError(
        `'${data}' is no file of arrays`,
        '--data',
        `give a .safetensors file with ${names}, samples along the first axis`,
      );
    }
    if (accumulate > 1)
      throw new UserError(
        'an imported model has a loss of its own mean',
        '--accumulate',
        'give a larger --batch-size',
      );
    this.arrays = readArrays(data, manifest.inputs);
    const counts = new Set([...this.arrays.values()].map(({ dims }) => dims[0]!));
    if (counts.size !== 1)
      throw new FileError(`the arrays have ${[...counts].join(' and ')} samples`, data, 'give each as many');
    const all = Math.min([...counts][0]!, options.limit ?? Number.POSITIVE_INFINITY);
    const fixed = fixedBatch(manifest);
    if (fixed !== undefined && fixed !== batchSize)
      throw new UserError(
        `the model was exported for batches of ${fixed}`,
        '--batch-size',
        `give ${fixed}, or export it with a dynamic batch axis`,
      );
    // a batch of another size would be a graph of another shape
    this.size = fixed === undefined ? all : all - (all % fixed);
    if (this.size === 0) throw new FileError('too few samples for one batch', data, 'give more');
    this.order = Array.from({ length: all }, (_, i) => i);
    this.notes =
      this.size < all ? [`${all - this.size} samples an epoch are left out: batches have ${fixed}`] : [];
  }

  async load(): Promise<void> {}

  readonly role = 'training';
  readonly measures = [] as const;

  async batch(epoch: number, index: number): Promise<TaskBatch> {
    const { seed, batchSize } = this.options;
    const order = shuffled(this.order, seed, 'order', epoch).slice(0, this.size);
    const rows = order.slice(index * batchSize, (index + 1) * batchSize);
    const feeds: Feeds = Object.fromEntries([...this.arrays].map(([name, t]) => [name, rowsOf(t, rows)]));
    return { microBatches: [feeds], ids: rows.map(String), units: 1 };
  }

  async evaluate(): Promise<undefined> {}
}

/** The batch size that the model's inputs insist on. */
function fixedBatch({ inputs }: ImportedManifest): number | undefined {
  return inputs.map(({ shape }) => shape[0]).find((d): d is number => typeof d === 'number');
}
