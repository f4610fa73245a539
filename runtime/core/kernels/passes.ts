/** @file Passes over arrays wherever they lie, a chunk at a time. */
import { CHUNK, KernelMemory } from './memory.js';

let memory: KernelMemory | undefined;

/** The memory whose chunks all arrays may use that lie elsewhere. */
export function sharedMemory(): KernelMemory {
  memory ??= new KernelMemory();
  return memory;
}

/** Calls `pass` for each piece of `length` numbers: where it starts and ends. */
export function inChunks(length: number, pass: (start: number, end: number) => void, from = 0): void {
  for (let start = from; start < length; start += CHUNK) pass(start, Math.min(start + CHUNK, length));
}

/** Sum of squares in float64; not finite when a number is not. */
export function sumOfSquares(values: Float32Array): number {
  const { run, chunks } = sharedMemory();
  const [{ at, floats }] = chunks;
  let sum = 0;
  inChunks(values.length, (start, end) => {
    const count = end - start;
    const whole = Math.ceil(count / 8) * 8;
    floats.set(values.subarray(start, end));
    floats.fill(0, count, whole);
    sum += run.sumOfSquares(whole, at);
  });
  return sum;
}

/** sum ← sum + part, in place. */
export function addTo(sum: Float32Array, part: Float32Array): void {
  const { run, chunks } = sharedMemory();
  const [a, b] = chunks;
  inChunks(sum.length, (start, end) => {
    const target = sum.subarray(start, end);
    a.floats.set(target);
    b.floats.set(part.subarray(start, end));
    run.add(end - start, a.at, b.at);
    target.set(a.floats.subarray(0, end - start));
  });
}
