/** @file Batches as data tensors that Python reads without this project. */
import { type LazyTensor, writeSafetensors } from '../weights/safetensors-file.js';

/** One batch by the names of the training model's inputs. */
export type NamedArrays = Readonly<
  Record<
    string,
    {
      readonly data: Float32Array | Int32Array | BigInt64Array | Uint8Array;
      readonly dims: readonly number[];
    }
  >
>;

const dtypes = { Float32Array: 'F32', Int32Array: 'I32', BigInt64Array: 'I64', Uint8Array: 'U8' } as const;

const lazy = ({ data, dims }: NamedArrays[string]): LazyTensor => ({
  dtype: dtypes[data.constructor.name as keyof typeof dtypes],
  shape: dims,
  bytes: () => new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
});

/** Writes batches as `<number>/<input>`, e.g. '0/pixel_values'. */
export function writeBatches(file: string, batches: readonly NamedArrays[]): void {
  const tensors = batches.flatMap((batch, i) =>
    Object.entries(batch).map(([name, array]) => [`${i}/${name}`, lazy(array)] as const),
  );
  writeSafetensors(file, new Map(tensors), { batches: String(batches.length) });
}
