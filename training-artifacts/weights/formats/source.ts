/** @file What every reader of weight files gives: named tensors whose bytes are read when asked for. */
import { FileError } from '../../../graph-builder/errors.js';
import type { SafetensorsDType } from '../safetensors.js';

export interface SourceTensor {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  /**
   * Little-endian bytes in row-major order: pieces of whole elements, at most a few MB each, in buffers aligned for
   * any typed array; a piece is valid until the next is asked for.
   */
  readonly pieces: () => Iterable<Uint8Array<ArrayBuffer>>;
}

/** An open file, or a model in several. */
export interface TensorSource {
  readonly path: string;
  /** e.g. 'PyTorch (zip)' */
  readonly format: string;
  /** every file that was opened, for hashes */
  readonly files: readonly string[];
  readonly tensors: ReadonlyMap<string, SourceTensor>;
  readonly metadata: Readonly<Record<string, string>>;
  close(): void;
}

export const countOf = (shape: readonly number[]): number => shape.reduce((p, n) => p * n, 1);

const AGAIN = 'copy or download the file again';

export const damaged = (what: string, where: string, cause?: unknown): FileError =>
  new FileError(what, where, AGAIN, { cause });

/** Text of a file that may say anything, fit for one line of a terminal. */
export function printable(text: string, longest = 80): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a terminal
  const plain = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, '?');
  return plain.length > longest ? `${plain.slice(0, longest - 3)}...` : plain;
}
