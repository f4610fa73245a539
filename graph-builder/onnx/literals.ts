/** @file Small tensors between the IR's numbers and ONNX's raw little-endian bytes. */
import type { DType } from '../ir/types.js';

const arrays = {
  float32: Float32Array,
  int32: Int32Array,
  uint8: Uint8Array,
  int8: Int8Array,
  bool: Uint8Array,
} as const;

export function encodeNumbers(dtype: DType, data: readonly number[]): Uint8Array {
  if (dtype === 'float16' || dtype === 'bfloat16')
    throw new Error(`internal: ${dtype} literals are not written`);
  const typed = dtype === 'int64' ? BigInt64Array.from(data, BigInt) : arrays[dtype].from(data);
  return new Uint8Array(typed.buffer);
}

export function decodeNumbers(dtype: DType, bytes: Uint8Array): number[] {
  // Typed arrays need alignment, which protobuf's slices have not; a Buffer's slice() would not copy.
  const aligned = new Uint8Array(bytes).buffer;
  if (dtype === 'int64') return Array.from(new BigInt64Array(aligned), Number);
  if (dtype === 'float16' || dtype === 'bfloat16')
    throw new Error(`internal: ${dtype} literals are not read`);
  return Array.from(new arrays[dtype](aligned));
}
