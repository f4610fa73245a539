/** @file Numbers of one type as another, piece by piece. */
import { FileError } from '../../graph-builder/errors.js';
import { printable, type SourceTensor } from './formats/source.js';
import { fromHalf, toHalf } from './half.js';
import type { SafetensorsDType } from './safetensors.js';

export const floatTypes = ['float32', 'float16', 'bfloat16'] as const;
export type FloatType = (typeof floatTypes)[number];

export const storedTypes = {
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
} as const satisfies Record<FloatType, SafetensorsDType>;

/** Exact: each bfloat16 number is the upper half of a float32 number. */
function fromBfloat16(numbers: Uint16Array): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(numbers.length);
  for (let i = 0; i < numbers.length; i++) bits[i] = numbers[i]! << 16;
  return new Float32Array(bits.buffer);
}

/** Rounds to nearest, ties to even. */
function toBfloat16(values: Float32Array<ArrayBuffer>): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const numbers = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) numbers[i] = (bits[i]! + 0x7fff + ((bits[i]! >>> 16) & 1)) >>> 16;
  return numbers;
}

type Bytes = Uint8Array<ArrayBuffer>;

const readers: Partial<Record<SafetensorsDType, (bytes: Bytes) => Float32Array<ArrayBuffer>>> = {
  F64: ({ buffer, byteOffset, length }) =>
    Float32Array.from(new Float64Array(buffer, byteOffset, length / 8)),
  F32: ({ buffer, byteOffset, length }) => new Float32Array(buffer, byteOffset, length / 4),
  F16: ({ buffer, byteOffset, length }) =>
    fromHalf(new Uint16Array(buffer, byteOffset, length / 2)) as Float32Array<ArrayBuffer>,
  BF16: ({ buffer, byteOffset, length }) => fromBfloat16(new Uint16Array(buffer, byteOffset, length / 2)),
};

/**
 * The tensor's numbers as float32, in row-major order, piece by piece; each is valid until the next is asked for.
 *
 * @throws {FileError} for a tensor of whole numbers, or one that holds NaN or infinity (also a float64 beyond
 * float32's range).
 */
export function* floatPieces(tensor: SourceTensor, file: string): Generator<Float32Array<ArrayBuffer>> {
  const read = readers[tensor.dtype];
  const where = `${file}, tensor ${printable(tensor.name)}`;
  if (!read) throw new FileError(`${tensor.dtype} numbers are no weights`, where, 'check the file');
  for (const piece of tensor.pieces()) {
    const values = read(piece);
    for (let i = 0; i < values.length; i++) {
      if (Number.isFinite(values[i]!)) continue;
      throw new FileError(`a number is ${values[i]}`, where, 'the training diverged: take another file');
    }
    yield values;
  }
}

/** Float32 numbers as little-endian bytes of another type. @throws {FileError} when float16 cannot hold one. */
export function encodeFloats(values: Float32Array<ArrayBuffer>, type: FloatType, where: string): Bytes {
  if (type === 'float32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  if (type === 'bfloat16') return new Uint8Array(toBfloat16(values).buffer);
  const half = toHalf(values);
  const beyond = half.findIndex((h) => (h & 0x7fff) === 0x7c00);
  if (beyond >= 0)
    throw new FileError(`${values[beyond]} is beyond float16's range`, where, 'write bfloat16 or float32');
  return new Uint8Array(half.buffer as ArrayBuffer);
}
