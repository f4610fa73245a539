/** @file 8-bit copies of base weights: made once a base, beside it, and mapped by all its runs. */
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { FileError } from '../../graph-builder/errors.js';
import type { Parameter } from '../../graph-builder/ir/types.js';
import {
  type Int8Form,
  int8Tensors,
  type Matrix,
  quantise,
} from '../../graph-builder/rewrites/int8-weights.js';
import type { SafetensorsDType } from './safetensors.js';
import {
  type LazyTensor,
  SafetensorsFile as Safetensors,
  type SafetensorsFile,
  withSafetensors,
  writeSafetensors,
} from './safetensors-file.js';

/** Changes with the layout or the rounding of the codes: files of another version are not used. */
const VERSION = '1';

const dtypes: Partial<Record<Parameter['dtype'], SafetensorsDType>> = {
  float32: 'F32',
  int8: 'I8',
  uint8: 'U8',
};

/** The float32 numbers of a matrix. @throws {FileError} when the file has another shape. */
function matrixValues(file: SafetensorsFile, { name, out, in: inner }: Matrix): Float32Array {
  const values = file.float32(name);
  if (values.length === out * inner) return values;
  throw new FileError(
    `${name} has ${values.length} numbers, the model needs ${out} x ${inner}`,
    file.path,
    'give weights of this preset',
  );
}

/** The 8-bit tensors of some matrices, one matrix in memory at a time. */
export function int8Entries(
  file: SafetensorsFile,
  matrices: readonly Matrix[],
  form: Int8Form,
): Map<string, LazyTensor> {
  let current: { name: string; bytes: ReadonlyMap<string, Uint8Array> } | undefined;
  const bytesOf = (matrix: Matrix, tensor: string): Uint8Array => {
    if (current?.name !== matrix.name)
      current = { name: matrix.name, bytes: quantise(matrix, matrixValues(file, matrix), form) };
    return current.bytes.get(tensor)!;
  };
  return new Map(
    matrices.flatMap((matrix) =>
      int8Tensors(matrix, form).map(({ name, dtype, shape }): [string, LazyTensor] => [
        name,
        { dtype: dtypes[dtype]!, shape: shape as number[], bytes: () => bytesOf(matrix, name) },
      ]),
    ),
  );
}

/** Whether a file is what this version would write from the base. */
function isCurrent(path: string, metadata: Readonly<Record<string, string>>): boolean {
  try {
    const file = Safetensors.open(path); // checks that it is whole
    file.close();
    return Object.entries(metadata).every(([key, value]) => file.header.metadata[key] === value);
  } catch {
    return false;
  }
}

/**
 * Path of the 8-bit copy of base weights, in the base's own folder (graphs name both by bare file name); written if
 * it is not there yet.
 *
 * @throws {FileError} when the folder cannot be written or the base does not fit.
 */
export function int8File(
  base: { readonly path: string; readonly sha256: string },
  matrices: readonly Matrix[],
  form: Int8Form,
): string {
  const stem = basename(base.path).replace(/\.safetensors$/, '');
  const path = join(dirname(base.path), `${stem}.${form}-${base.sha256.slice(0, 12)}.safetensors`);
  const metadata = { format: 'mile-ort int8', version: VERSION, form, base: base.sha256 };
  if (existsSync(path) && isCurrent(path, metadata)) return path;
  withSafetensors(base.path, (file) => writeSafetensors(path, int8Entries(file, matrices, form), metadata));
  return path;
}
