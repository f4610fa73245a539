/** @file Reading and writing files: atomic, with errors that say what to do. */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { FileError } from '../graph-builder/errors.js';

const remedies: Record<string, string> = {
  ENOENT: 'check the path',
  EACCES: 'check the permissions',
  EPERM: 'check the permissions',
  EROFS: 'choose a folder that can be written',
  ENOSPC: 'free some disk space and run the command again; nothing was half-written',
  EDQUOT: 'free some of your quota and run the command again; nothing was half-written',
  EFBIG: 'raise the file size limit and run the command again; nothing was half-written',
  EEXIST: 'a file of that name is in the way: choose another path',
  EISDIR: 'give a file, not a folder',
  ENOTDIR: 'check the path: a part of it is a file',
  ERR_FS_FILE_TOO_LARGE: 'give a smaller file: this one is read whole',
};

/** A {@link FileError} for an error of the file system; other errors are passed on. */
export function asFileError(error: unknown, file: string, action: string): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  const remedy = code && remedies[code];
  return remedy ? new FileError(`cannot ${action} (${code})`, file, remedy, { cause: error }) : error;
}

/** @throws {FileError} when the file cannot be read. */
export function readFile(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw asFileError(error, file, 'read');
  }
}

const PIECE = 2 ** 24;

/** The bytes of a file in pieces, each valid until the next is asked for. @throws {FileError} when it cannot be read. */
export function* pieces(file: string): Generator<Uint8Array> {
  let fd: number | undefined;
  try {
    fd = openSync(file, 'r');
    const buffer = new Uint8Array(PIECE);
    for (let read = readSync(fd, buffer); read > 0; read = readSync(fd, buffer))
      yield buffer.subarray(0, read);
  } catch (error) {
    throw asFileError(error, file, 'read');
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Above any manifest; parsing takes ten times as much memory. */
const MAX_JSON = 2 ** 26;

/** @throws {FileError} when the file cannot be read, is longer than 64 MB or is not JSON. */
export function readJson(file: string): unknown {
  const { size } = statSync(file, { throwIfNoEntry: false }) ?? { size: 0 };
  if (size > MAX_JSON)
    throw new FileError(
      `${size} bytes of JSON, more than ${MAX_JSON}`,
      file,
      'check that this is the right file',
    );
  try {
    return JSON.parse(readFile(file).toString('utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw new FileError(`not JSON: ${error.message}`, file, 'the file is damaged: write or copy it again');
    }
    throw error;
  }
}

/**
 * Writes a file so that it exists whole or not at all: into a temporary file beside it, synced, then renamed.
 *
 * @throws {FileError} when the disk is full or the folder cannot be written.
 */
export function writeAtomic(file: string, chunks: string | Uint8Array | Iterable<Uint8Array>): void {
  const temporary = `${file}.${randomBytes(4).toString('hex')}.tmp`;
  let fd: number | undefined;
  let created = false;
  try {
    mkdirSync(dirname(file), { recursive: true });
    fd = openSync(temporary, 'wx');
    created = true;
    const list =
      typeof chunks === 'string' ? [Buffer.from(chunks)] : chunks instanceof Uint8Array ? [chunks] : chunks;
    for (const chunk of list) {
      for (let at = 0; at < chunk.length; )
        at += writeSync(fd, chunk, at, Math.min(chunk.length - at, 2 ** 30));
    }
    fsyncSync(fd);
    closeSync(fd);
    fd = undefined;
    renameSync(temporary, file);
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    if (created) rmSync(temporary, { force: true });
    throw asFileError(error, file, 'write');
  }
}

export const writeJson = (file: string, value: unknown): void =>
  writeAtomic(file, `${JSON.stringify(value, null, 2)}\n`);
