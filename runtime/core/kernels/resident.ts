/** @file Trained tensors in the memory of the kernels, which update them where they are. */
import type { OptimizedTensor } from '../adamw.js';
import { bytesOf, KernelMemory } from './memory.js';

/** Its arrays may be replaced by equal ones elsewhere. */
export interface MovableTensor {
  value: Float32Array;
  expAvg: Float32Array;
  expAvgSq: Float32Array;
}

/** Bytes of one memory, unless one tensor needs more: what was moved can be freed before the next one is made. */
const MEMORY_BYTES = 2 ** 28;

const homes = new WeakMap<ArrayBufferLike, KernelMemory>();

/** The memory that all three arrays lie in. */
export function homeOf({ value, expAvg, expAvgSq }: OptimizedTensor): KernelMemory | undefined {
  const home = homes.get(value.buffer);
  return home?.holds(expAvg) && home.holds(expAvgSq) ? home : undefined;
}

const sizeOf = ({ value, expAvg, expAvgSq }: MovableTensor): number =>
  bytesOf(value) + bytesOf(expAvg) + bytesOf(expAvgSq);

function groups<T extends MovableTensor>(tensors: Iterable<T>, limit: number): T[][] {
  const found: T[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const tensor of tensors) {
    bytes += sizeOf(tensor);
    if (bytes > limit) {
      found.push([]);
      bytes = sizeOf(tensor);
    }
    found.at(-1)!.push(tensor);
  }
  return found;
}

/**
 * Moves tensors to where the kernels update them in place, at the speed of memory: arrays elsewhere are copied through
 * the cache, which takes half as long again. Their arrays are replaced: take them from the tensors afterwards. Numbers
 * and results are the same. Where the system has no room for it, tensors stay where they are.
 *
 * @returns how many were moved
 */
export function moveToKernels(tensors: Iterable<MovableTensor>, memoryBytes = MEMORY_BYTES): number {
  let moved = 0;
  for (const group of groups(tensors, memoryBytes)) {
    const bytes = group.reduce((sum, tensor) => sum + sizeOf(tensor), 0);
    let home: KernelMemory;
    try {
      home = new KernelMemory(bytes);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return moved;
    }
    for (const tensor of group) {
      for (const key of ['value', 'expAvg', 'expAvgSq'] as const) tensor[key] = home.place(tensor[key]);
      homes.set(tensor.value.buffer, home);
      moved++;
    }
  }
  return moved;
}
