/** @file Tensors that move into the kernels' memory. */
import { afterEach, expect, test, vi } from 'vitest';
import { bytesOf } from '../../../../runtime/core/kernels/memory.js';
import { homeOf, moveToKernels } from '../../../../runtime/core/kernels/resident.js';

afterEach(() => {
  vi.unstubAllGlobals();
});

/** A tensor whose numbers say which one it is. */
const tensor = (length: number, at = 0) => {
  const filled = (kind: number) => Float32Array.from({ length }, (_, i) => 1000 * at + 100 * kind + i);
  return { value: filled(1), expAvg: filled(2), expAvgSq: filled(3) };
};
const bytes = (length: number): number => 3 * bytesOf(new Float32Array(length));

test('keep their numbers; each memory holds as many as fit, a larger one is alone', () => {
  const lengths = [5, 17, 0, 400, 3, 16];
  const tensors = lengths.map(tensor);
  expect(moveToKernels(tensors, bytes(5) + bytes(17))).toBe(6);
  expect(tensors).toEqual(lengths.map(tensor));
  const homes = tensors.map(homeOf);
  expect(homes.every(Boolean)).toBe(true);
  const numbers = homes.map((home) => homes.indexOf(home));
  expect(numbers).toEqual([0, 0, 0, 3, 4, 4]);
});

test('do not overlap', () => {
  const tensors = [3, 16, 33].map(tensor);
  moveToKernels(tensors);
  const parts = tensors.flatMap((t) => [t.value, t.expAvg, t.expAvgSq]);
  const ends = parts.map((a) => [a.byteOffset, a.byteOffset + a.byteLength] as const);
  ends.slice(1).forEach(([start], i) => {
    expect(start).toBeGreaterThanOrEqual(ends[i]![1]);
  });
  expect(homeOf(tensors[0]!)!.chunks[3].floats.byteOffset).toBeLessThan(ends[0]![0]);
});

test('of which one array was replaced are elsewhere', () => {
  const [moved] = [tensor(4)];
  moveToKernels([moved]);
  expect(homeOf(moved)).toBeDefined();
  expect(homeOf({ ...moved, expAvgSq: new Float32Array(4) })).toBeUndefined();
  expect(homeOf(tensor(4))).toBeUndefined();
});

test('stay where they are when the system has no room', () => {
  let made = 0;
  class Scarce extends WebAssembly.Memory {
    constructor(size: WebAssembly.MemoryDescriptor) {
      if (made++ === 1) throw new RangeError('WebAssembly.Memory(): could not allocate memory');
      super(size);
    }
  }
  const { Module, Instance } = WebAssembly; // no own members that a spread would find
  vi.stubGlobal('WebAssembly', { Module, Instance, Memory: Scarce });
  const tensors = [0, 1, 2].map((i) => tensor(40, i));
  const stayed = tensors.map((t) => ({ ...t }));
  expect(moveToKernels(tensors, bytes(40))).toBe(1);
  expect(tensors[1]!.value).toBe(stayed[1]!.value);
  expect(tensors[2]!.value).toBe(stayed[2]!.value);
  expect(tensors.map(homeOf).map(Boolean)).toEqual([true, false, false]);
});
