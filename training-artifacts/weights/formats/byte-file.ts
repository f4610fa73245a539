/** @file A file read by offset: never whole, never beyond its end. */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { FileError } from '../../../graph-builder/errors.js';
import { asFileError } from '../../files.js';

/** Bytes of a piece; a multiple of every element's size. */
export const PIECE = 2 ** 22;

/** An open file of any size. */
export class ByteFile {
  private constructor(
    readonly path: string,
    private readonly fd: number,
    readonly size: number,
  ) {}

  /** @throws {FileError} when the file is missing or no plain file. */
  static open(path: string): ByteFile {
    let fd: number | undefined;
    try {
      // a pipe would block when it is opened
      if (!statSync(path).isFile()) throw new FileError('not a file', path, 'give a file');
      fd = openSync(path, 'r');
      return new ByteFile(path, fd, fstatSync(fd).size);
    } catch (error) {
      if (fd !== undefined) closeSync(fd);
      throw asFileError(error, path, 'read');
    }
  }

  private readInto(bytes: Uint8Array, offset: number): void {
    for (let at = 0; at < bytes.length; ) {
      const read = readSync(this.fd, bytes, at, Math.min(bytes.length - at, 2 ** 30), offset + at);
      if (read === 0) throw this.cutShort();
      at += read;
    }
  }

  private cutShort(): FileError {
    return new FileError(`the file is cut short: ${this.size} bytes`, this.path, 'copy or download it again');
  }

  /** Bytes in a buffer of their own, aligned for any typed array. @throws {FileError} beyond the file's end. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size)) throw this.cutShort();
    const bytes = new Uint8Array(length);
    this.readInto(bytes, offset);
    return bytes;
  }

  /** The same in pieces of {@link PIECE} bytes, each valid until the next is asked for. */
  *pieces(offset: number, length: number): Generator<Uint8Array<ArrayBuffer>> {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size)) throw this.cutShort();
    const buffer = new Uint8Array(Math.min(PIECE, length));
    for (let at = 0; at < length; at += buffer.length) {
      const piece = buffer.subarray(0, Math.min(buffer.length, length - at));
      this.readInto(piece, offset + at);
      yield piece;
    }
  }

  close(): void {
    closeSync(this.fd);
  }
}
