/** @file A zip entry's bytes as a stream, inflated if need be, with a bound on what comes out. */
import { Inflate } from 'fflate';
import { type ByteFile, PIECE } from './byte-file.js';
import { damaged, printable } from './source.js';
import type { ZipEntry } from './zip-entries.js';

/** Compressed bytes at a time: deflate makes at most 1,032 times as many of them. */
const STEP = 2 ** 14;

function* inflated(file: ByteFile, { name, offset, length, size }: ZipEntry): Generator<Uint8Array> {
  const where = `${file.path}, entry ${printable(name)}`;
  let ready: Uint8Array[] = [];
  let total = 0;
  const inflate = new Inflate((piece) => ready.push(piece));
  for (let at = 0; at < length; at += STEP) {
    const step = Math.min(STEP, length - at);
    try {
      inflate.push(file.read(offset + at, step), at + step === length);
    } catch (error) {
      throw damaged('the entry is not deflated data', where, error);
    }
    for (const piece of ready) {
      total += piece.length;
      if (total > size) throw damaged(`the entry holds more than the ${size} bytes that it claims`, where);
      yield piece;
    }
    ready = [];
  }
  if (total !== size) throw damaged(`the entry holds ${total} bytes, not ${size}`, where);
}

/** Pieces of {@link PIECE} bytes, whatever pieces come; the last may be shorter. */
function* repacked(pieces: Iterable<Uint8Array>): Generator<Uint8Array<ArrayBuffer>> {
  const buffer = new Uint8Array(PIECE);
  let filled = 0;
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; ) {
      const step = Math.min(PIECE - filled, piece.length - at);
      buffer.set(piece.subarray(at, at + step), filled);
      filled += step;
      at += step;
      if (filled < PIECE) continue;
      yield buffer;
      filled = 0;
    }
  }
  if (filled > 0) yield buffer.subarray(0, filled);
}

function* skipped(pieces: Iterable<Uint8Array>, count: number): Generator<Uint8Array> {
  let left = count;
  for (const piece of pieces) {
    if (left < piece.length) yield piece.subarray(left);
    left = Math.max(0, left - piece.length);
  }
}

/** The first bytes of an entry, at most `length`. */
export function entryStart(file: ByteFile, entry: ZipEntry, length: number): Uint8Array<ArrayBuffer> {
  if (!entry.deflated) return file.read(entry.offset, Math.min(length, entry.size));
  for (const piece of repacked(inflated(file, entry))) return piece.slice(0, length);
  return new Uint8Array(0);
}

/** An entry's bytes from place `from` on, in pieces that are aligned for any typed array. */
export function entryPieces(
  file: ByteFile,
  entry: ZipEntry,
  from: number,
): Iterable<Uint8Array<ArrayBuffer>> {
  if (!entry.deflated) return file.pieces(entry.offset + from, entry.size - from);
  return repacked(skipped(inflated(file, entry), from));
}
