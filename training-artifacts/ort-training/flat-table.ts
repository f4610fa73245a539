/** @file Reads flatbuffers that may be damaged: every offset is checked before it is followed. */
import type { ByteBuffer } from 'flatbuffers';
import { FileError } from '../../graph-builder/errors.js';

/** Place of a field in a table: the first is 0. */
export type Slot = number;

/** Bytes of a table's vtable before its first field, and of a field in it. */
const VTABLE_HEADER = 4;
const VTABLE_FIELD = 2;
const REFERENCE = 4;

/** A table of a flatbuffer. Absent fields read as undefined, or as the default that is given. */
export class FlatTable {
  private constructor(
    private readonly buffer: ByteBuffer,
    private readonly at: number,
    private readonly file: string,
  ) {
    this.check(at, REFERENCE);
    const vtable = at - buffer.readInt32(at);
    this.check(vtable, VTABLE_HEADER);
    this.check(vtable, buffer.readUint16(vtable));
  }

  /** The root of a whole buffer. */
  static root(buffer: ByteBuffer, file: string): FlatTable {
    return new FlatTable(buffer, buffer.readUint32(0), file);
  }

  int32(slot: Slot): number {
    const at = this.field(slot, 4);
    return at === undefined ? 0 : this.buffer.readInt32(at);
  }

  int64(slot: Slot): number {
    const at = this.field(slot, 8);
    return at === undefined ? 0 : Number(this.buffer.readInt64(at));
  }

  bool(slot: Slot): boolean {
    const at = this.field(slot, 1);
    return at !== undefined && this.buffer.readUint8(at) !== 0;
  }

  string(slot: Slot): string {
    return new TextDecoder().decode(this.bytes(slot));
  }

  /** A view of the file's bytes. */
  bytes(slot: Slot): Uint8Array {
    const vector = this.vector(slot, 1);
    return this.buffer.bytes().subarray(vector?.start ?? 0, vector ? vector.start + vector.length : 0);
  }

  int64s(slot: Slot): number[] {
    const { start = 0, length = 0 } = this.vector(slot, 8) ?? {};
    return Array.from({ length }, (_, i) => Number(this.buffer.readInt64(start + 8 * i)));
  }

  table(slot: Slot): FlatTable | undefined {
    const at = this.field(slot, REFERENCE);
    return at === undefined ? undefined : this.follow(at);
  }

  tables(slot: Slot): FlatTable[] {
    const { start = 0, length = 0 } = this.vector(slot, REFERENCE) ?? {};
    return Array.from({ length }, (_, i) => this.follow(start + REFERENCE * i));
  }

  private follow(at: number): FlatTable {
    return new FlatTable(this.buffer, at + this.buffer.readUint32(at), this.file);
  }

  /** Where a field of `size` bytes lies. */
  private field(slot: Slot, size: number): number | undefined {
    const offset = this.buffer.__offset(this.at, VTABLE_HEADER + VTABLE_FIELD * slot);
    if (offset === 0) return undefined;
    this.check(this.at + offset, size);
    return this.at + offset;
  }

  private vector(slot: Slot, itemSize: number): { start: number; length: number } | undefined {
    const at = this.field(slot, REFERENCE);
    if (at === undefined) return undefined;
    const header = at + this.buffer.readUint32(at);
    this.check(header, REFERENCE);
    const length = this.buffer.readUint32(header);
    this.check(header + REFERENCE, length * itemSize);
    return { start: header + REFERENCE, length };
  }

  /** @throws {FileError} when the bytes from `at` are not all in the file. */
  private check(at: number, size: number): void {
    if (at >= 0 && at + size <= this.buffer.capacity()) return;
    throw new FileError(
      `damaged: byte ${at + size} is referred to, the file has ${this.buffer.capacity()}`,
      this.file,
      'save or copy the checkpoint again',
    );
  }
}
