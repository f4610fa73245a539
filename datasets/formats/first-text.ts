/** @file The first characters of a file, for telling formats apart. */
import { closeSync, openSync, readSync } from 'node:fs';

/** @throws an error of the file system. */
export function firstText(file: string): string {
  const bytes = Buffer.alloc(4096);
  const fd = openSync(file, 'r');
  try {
    return bytes.toString('utf8', 0, readSync(fd, bytes));
  } finally {
    closeSync(fd);
  }
}
