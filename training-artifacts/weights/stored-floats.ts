/** @file Stored floating-point numbers as float32. */
import { FileError } from '../../graph-builder/errors.js';
import { fromHalf } from './half.js';
import type { SafetensorsDType } from './safetensors.js';

/** Exact: each bfloat16 number is the upper half of a float32 number. */
function fromBfloat16(numbers: Uint16Array): Float32Array {
  const bits = Uint32Array.from(numbers, (n) => n << 16);
  return new Float32Array(bits.buffer);
}

const readers: Partial<Record<SafetensorsDType, (bytes: ArrayBuffer) => Float32Array>> = {
  F64: (bytes) => Float32Array.from(new Float64Array(bytes)),
  F32: (bytes) => new Float32Array(bytes),
  F16: (bytes) => fromHalf(new Uint16Array(bytes)),
  BF16: (bytes) => fromBfloat16(new Uint16Array(bytes)),
};

/**
 * The numbers of a tensor, in row-major order, in memory of their own.
 *
 * @param bytes little-endian
 * @throws {FileError} for whole numbers, and for a number that is not finite.
 */
export function storedFloats(dtype: SafetensorsDType, bytes: Uint8Array, where: string): Float32Array {
  const read = readers[dtype];
  if (!read) throw new FileError(`${dtype} numbers are no weights`, where, 'check the file');
  const values = read(new Uint8Array(bytes).buffer); // a Buffer's slice would share memory
  const bad = values.findIndex((v) => !Number.isFinite(v));
  if (bad < 0) return values;
  throw new FileError(
    `it holds ${values[bad]} at place ${bad}`,
    where,
    'its training diverged: take another file',
  );
}
