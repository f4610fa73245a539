/** @file Frozen features on disk: a file an entry, shared by all runs on the same weights. */
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { writeAtomic } from '../../../training-artifacts/files.js';
import { cacheFolder } from '../../../training-artifacts/weights/cache.js';
import type { EntryPart, FeatureStore } from '../../core/features.js';

/** Before the numbers: the CRC-32 of their bytes, little-endian. */
const HEADER = 4;

export const featuresFolder = (): string => join(cacheFolder(), 'features');

const bytesOf = (a: Float32Array): Uint8Array => new Uint8Array(a.buffer, a.byteOffset, a.byteLength);

/** Bytes of the files in a folder. */
const folderSize = (folder: string): number =>
  readdirSync(folder).reduce(
    (n, name) => n + (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0),
    0,
  );

/**
 * Entries of one group: one graph with one set of weights and one image transform.
 *
 * Names are hashes: no image name reaches the disk. Files are written atomically, so that runs may share a group;
 * an entry is checked once a process before it is trusted, and a damaged one counts as absent. All groups
 * together stay below the limit: the longest unused ones go first, and what does not fit is not kept.
 */
export class FileFeatureStore implements FeatureStore {
  readonly folder: string;
  private readonly checked = new Set<string>();
  private used: number;

  constructor(
    /** what the entries depend on beside their keys */
    group: readonly string[],
    private readonly limitBytes: number,
  ) {
    this.folder = join(
      featuresFolder(),
      createHash('sha256').update(group.join('\n')).digest('hex').slice(0, 32),
    );
    this.used = this.touch();
  }

  /** Bytes that all groups take. */
  get sizeBytes(): number {
    return this.used;
  }

  read(key: string, length: number, parts: readonly EntryPart[]): boolean {
    let fd: number;
    try {
      fd = openSync(join(this.folder, key), 'r');
    } catch {
      return false; // not there yet, or removed by another run
    }
    try {
      if (fstatSync(fd).size !== HEADER + 4 * length) return false;
      if (!this.checked.has(key) && !isWhole(fd, 4 * length)) return false;
      this.checked.add(key);
      return parts.every(({ from, target }) => readFully(fd, bytesOf(target), HEADER + 4 * from));
    } finally {
      closeSync(fd);
    }
  }

  write(key: string, numbers: Float32Array): void {
    const bytes = HEADER + numbers.byteLength;
    if (this.used + bytes > this.limitBytes) this.used = this.makeRoom(bytes);
    if (this.used + bytes > this.limitBytes) return;
    const header = Buffer.alloc(HEADER);
    header.writeUInt32LE(crc32(bytesOf(numbers)));
    writeAtomic(join(this.folder, key), [header, bytesOf(numbers)]);
    this.checked.add(key);
    this.used += bytes;
  }

  /** Marks the group as used now; the size of all groups. */
  private touch(): number {
    if (existsSync(this.folder)) utimesSync(this.folder, new Date(), new Date());
    return groups().reduce((n, { size }) => n + size, 0);
  }

  /** Removes other groups, the longest unused first, until `bytes` fit; the size of what is left. */
  private makeRoom(bytes: number): number {
    const others = groups()
      .filter(({ folder }) => folder !== this.folder)
      .sort((a, b) => a.time - b.time);
    let size = this.touch();
    for (const other of others) {
      if (size + bytes <= this.limitBytes) break;
      rmSync(other.folder, { recursive: true, force: true });
      size -= other.size;
    }
    return size;
  }
}

function groups(): { folder: string; size: number; time: number }[] {
  const parent = featuresFolder();
  if (!existsSync(parent)) return [];
  return readdirSync(parent).flatMap((name) => {
    const folder = join(parent, name);
    const time = statSync(folder, { throwIfNoEntry: false })?.mtimeMs;
    return time === undefined ? [] : [{ folder, size: folderSize(folder), time }];
  });
}

function readFully(fd: number, target: Uint8Array, position: number): boolean {
  for (let at = 0; at < target.length; ) {
    const read = readSync(fd, target, at, target.length - at, position + at);
    if (read === 0) return false;
    at += read;
  }
  return true;
}

/** Whether the numbers are those that were written. */
function isWhole(fd: number, length: number): boolean {
  const header = Buffer.alloc(HEADER);
  const piece = new Uint8Array(Math.min(length, 2 ** 22));
  let sum = 0;
  for (let at = 0; at < length; at += piece.length) {
    const part = piece.subarray(0, Math.min(piece.length, length - at));
    if (!readFully(fd, part, HEADER + at)) return false;
    sum = crc32(part, sum);
  }
  return readFully(fd, header, 0) && header.readUInt32LE() === sum;
}
