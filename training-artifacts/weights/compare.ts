/** @file Compares two tensors without having either in memory. */
import type { SourceTensor } from './formats/source.js';

/** Same type, shape and bytes. Both are read in the same pieces. */
export function equalTensors(a: SourceTensor, b: SourceTensor): boolean {
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) return false;
  const other = b.pieces()[Symbol.iterator]();
  for (const piece of a.pieces()) {
    const { value, done } = other.next();
    if (done || Buffer.compare(piece, value) !== 0) return false;
  }
  return true;
}
