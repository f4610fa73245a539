/** @file Whether a weights file is still the one that a run was built on. */
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { FileError } from '../../graph-builder/errors.js';
import { writeAtomic } from '../files.js';
import { cacheFolder } from './cache.js';
import { sha256 } from './pretrained.js';

/** What a file looked like when its content was last hashed. */
const stampOf = (path: string, hash: string): string => {
  const { size, mtimeMs } = statSync(path);
  return JSON.stringify({ sha256: hash, size, mtimeMs });
};

const recordPath = (path: string): string =>
  join(cacheFolder(), 'verified', createHash('sha256').update(resolve(path)).digest('hex').slice(0, 32));

/** Notes that the file's content has this hash, so that it is not read for that again while it stays as it is. */
function remember(path: string, stamp: string): void {
  try {
    writeAtomic(recordPath(path), stamp);
  } catch {
    // without a cache the file is hashed each time
  }
}

function remembered(path: string): string | undefined {
  try {
    return readFileSync(recordPath(path), 'utf8');
  } catch {
    return undefined;
  }
}

/**
 * Hashes a file (about a second a gigabyte) unless it has the size and time that it had when it was last hashed.
 *
 * @throws {FileError} when its content is not that of the hash.
 */
export function checkUnchanged(path: string, expected: string): void {
  const stamp = stampOf(path, expected);
  if (remembered(path) === stamp) return;
  if (sha256(path) !== expected) {
    throw new FileError(
      'the base weights are not those that the run was built on: their hash differs',
      path,
      'restore the file, or build the run again',
    );
  }
  remember(path, stamp);
}
