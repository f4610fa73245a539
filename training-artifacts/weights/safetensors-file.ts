/** @file Safetensors files: headers and single tensors by offset, never the whole file. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { FileError } from '../../graph-builder/errors.js';
import { asFileError, writeAtomic } from '../files.js';
import {
  headerLength,
  layOut,
  parseHeader,
  type SafetensorsHeader,
  type TensorEntry,
  type TensorType,
} from './safetensors.js';

/** An open safetensors file. Tensors are read one at a time. */
export class SafetensorsFile {
  private constructor(
    readonly path: string,
    private readonly fd: number,
    readonly header: SafetensorsHeader,
  ) {}

  /** @throws {FileError} when the file is missing, damaged or not safetensors. */
  static open(path: string): SafetensorsFile {
    let fd: number;
    try {
      fd = openSync(path, 'r');
    } catch (error) {
      throw asFileError(error, path, 'read');
    }
    try {
      const size = fstatSync(fd).size;
      const length = headerLength(readAt(fd, 0, Math.min(8, size)), size, path);
      return new SafetensorsFile(path, fd, parseHeader(readAt(fd, 8, length), size, path));
    } catch (error) {
      closeSync(fd);
      throw asFileError(error, path, 'read');
    }
  }

  /** @throws {FileError} when there is no such tensor. */
  entry(name: string): TensorEntry {
    const entry = this.header.tensors.get(name);
    if (!entry)
      throw new FileError(`no tensor ${name}`, this.path, 'check that the file belongs to this model');
    return entry;
  }

  /** Raw little-endian bytes of a tensor, aligned for any typed array. */
  bytes(name: string): Uint8Array {
    const { offset, length } = this.entry(name);
    return readAt(this.fd, offset, length);
  }

  /** @throws {FileError} when the tensor is not float32. */
  float32(name: string): Float32Array {
    const { dtype } = this.entry(name);
    if (dtype !== 'F32')
      throw new FileError(`${name} is ${dtype}, not F32`, this.path, 'convert the file to float32');
    return new Float32Array(this.bytes(name).buffer);
  }

  close(): void {
    closeSync(this.fd);
  }
}

function readAt(fd: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const read = readSync(fd, bytes, at, Math.min(length - at, 2 ** 30), offset + at);
    if (read === 0) throw new Error('internal: a range beyond the end of a checked file');
    at += read;
  }
  return bytes;
}

/** A range of any file. @throws {FileError} when the file is shorter. */
export function readRange(path: string, offset: number, length: number): Uint8Array {
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    const { size } = fstatSync(fd);
    if (offset + length > size)
      throw new FileError(
        `${size} bytes, ${offset + length} are needed`,
        path,
        'the file is cut short: copy it again',
      );
    return readAt(fd, offset, length);
  } catch (error) {
    throw asFileError(error, path, 'read');
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Reads a file with `use` and closes it. */
export function withSafetensors<T>(path: string, use: (file: SafetensorsFile) => T): T {
  const file = SafetensorsFile.open(path);
  try {
    return use(file);
  } finally {
    file.close();
  }
}

export interface LazyTensor extends TensorType {
  /** called once, when the tensor's turn to be written comes */
  readonly bytes: () => Uint8Array;
}

/** A tensor in pieces, each of which is written before the next is asked for. */
export interface StreamedTensor extends TensorType {
  readonly pieces: () => Iterable<Uint8Array>;
}

/** Writes tensors one after another, in the given order; only one piece of one is in memory at a time. */
export function streamSafetensors(
  path: string,
  tensors: ReadonlyMap<string, StreamedTensor>,
  metadata?: Readonly<Record<string, string>>,
): void {
  const { header, entries } = layOut(tensors, metadata);
  function* chunks() {
    yield header;
    for (const [name, tensor] of tensors) {
      let written = 0;
      for (const piece of tensor.pieces()) {
        written += piece.length;
        yield piece;
      }
      if (written !== entries.get(name)!.length)
        throw new Error(`internal: ${name} has ${written} bytes, not ${entries.get(name)!.length}`);
    }
  }
  writeAtomic(path, chunks());
}

/** The same of tensors that are made whole; only one is in memory at a time. */
export function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, LazyTensor>,
  metadata?: Readonly<Record<string, string>>,
): void {
  const streamed = [...tensors].map(
    ([name, { dtype, shape, bytes }]) => [name, { dtype, shape, pieces: () => [bytes()] }] as const,
  );
  streamSafetensors(path, new Map(streamed), metadata);
}

/** A float32 tensor that is in memory already. */
export const float32Tensor = (shape: readonly number[], data: Float32Array): LazyTensor => ({
  dtype: 'F32',
  shape,
  bytes: () => new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
});
