/** @file The compiled kernels beside the memory that they work in. */
import { kernelsWasm } from './wasm.js';

/** Numbers that are copied in at once: four such pieces fit a core's second-level cache. */
export const CHUNK = 4096;
const CHUNKS = 4;
/**
 * Addresses of the chunks: none is near a multiple of 4096, where large arrays begin. Copies between addresses that are
 * almost equal in their last 12 bits are several times slower on some processors (AMD Zen 3 with glibc's memmove).
 */
const FIRST_CHUNK = 1024;
const CHUNK_STRIDE = 4 * CHUNK + 256;
const PAGE = 65_536;
/** Arrays that live here start at multiples of a cache line. */
const LINE = 64;

/** What assembly/kernels.ts exports; addresses in bytes, counts in numbers. */
interface Kernels {
  /** Whole vectors of 4: up to 3 numbers behind `count` change, too. */
  adamW(
    count: number,
    gradient: number,
    value: number,
    expAvg: number,
    expAvgSq: number,
    ...constants: AdamWConstants
  ): void;
  /** `count` is a multiple of 8 */
  sumOfSquares(count: number, values: number): number;
  add(count: number, sum: number, part: number): void;
}

/** scale, β₁, 1−β₁, β₂, 1−β₂, lr·decay, lr/(1−β₁ᵗ), 1/√(1−β₂ᵗ), ε */
export type AdamWConstants = readonly [
  scale: number,
  beta1: number,
  rest1: number,
  beta2: number,
  rest2: number,
  decay: number,
  rate: number,
  unbias: number,
  epsilon: number,
];

/** A piece of memory that numbers are copied to. */
export interface Chunk {
  readonly at: number;
  readonly floats: Float32Array;
}

let compiled: WebAssembly.Module | undefined;

function compile(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(Uint8Array.from(atob(kernelsWasm), (c) => c.charCodeAt(0)));
  return compiled;
}

const aligned = (bytes: number): number => Math.ceil(bytes / LINE) * LINE;

/** Bytes that an array takes in a {@link KernelMemory}. */
export const bytesOf = (array: Float32Array): number => aligned(array.byteLength);

/** A memory with chunks for arrays that lie elsewhere, and room for arrays of its own, on which kernels work in place. */
export class KernelMemory {
  readonly run: Kernels;
  readonly chunks: readonly [Chunk, Chunk, Chunk, Chunk];
  private readonly buffer: ArrayBuffer;
  private free = FIRST_CHUNK + CHUNKS * CHUNK_STRIDE;

  /** @throws {RangeError} when the system has no room for `bytes`. */
  constructor(bytes = 0) {
    const memory = new WebAssembly.Memory({ initial: Math.ceil((this.free + bytes) / PAGE) });
    this.buffer = memory.buffer as ArrayBuffer;
    this.run = new WebAssembly.Instance(compile(), { env: { memory } }).exports as unknown as Kernels;
    const chunk = (i: number): Chunk => {
      const at = FIRST_CHUNK + i * CHUNK_STRIDE;
      return { at, floats: new Float32Array(this.buffer, at, CHUNK) };
    };
    this.chunks = [chunk(0), chunk(1), chunk(2), chunk(3)];
  }

  /** A copy of the array in this memory. */
  place(array: Float32Array): Float32Array {
    const copy = new Float32Array(this.buffer, this.free, array.length);
    copy.set(array);
    this.free += bytesOf(array);
    return copy;
  }

  holds({ buffer }: Float32Array): boolean {
    return buffer === this.buffer;
  }
}
