/** @file One study at a time in a folder. */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../../../graph-builder/errors.js';
import { asFileError } from '../../../training-artifacts/files.js';

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** tells a process from a later one of the same number; null where /proc does not say */
  readonly born: string | null;
}

/** When a process started, in clock ticks since the machine did. */
function birthOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null; // field 22; the name may hold blanks
  } catch {
    return null;
  }
}

function lives({ pid, born }: Holder): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // another user's
  }
  return born === null || birthOf(pid) === born;
}

/** Undefined for a lock that was cut off while it was written: its writer is gone. */
function readHolder(file: string): Holder | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Holder;
  } catch {
    return undefined;
  }
}

/**
 * Takes `study.lock`; the function that is returned gives it back. A lock whose process is gone is taken over.
 *
 * @throws {UserError} when another study works there.
 */
export function lockStudy(out: string): () => void {
  const file = join(out, 'study.lock');
  const own: Holder = { pid: process.pid, host: hostname(), born: birthOf(process.pid) };
  for (let tries = 0; ; tries++) {
    let fd: number;
    try {
      mkdirSync(out, { recursive: true });
      fd = openSync(file, 'wx');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !existsSync(file))
        throw asFileError(error, file, 'write');
      const holder = readHolder(file);
      const foreign = holder && holder.host !== own.host;
      if (foreign || (holder && lives(holder)) || tries > 3) {
        const who = holder
          ? `process ${holder.pid}${foreign ? ` on ${holder.host}` : ''}`
          : 'another process';
        throw new UserError(
          `another study works in this folder: ${who}`,
          file,
          foreign
            ? 'wait for it, choose another --out, or delete the file if that machine no longer works on it'
            : 'wait for it, or choose another --out',
        );
      }
      rmSync(file, { force: true });
      continue;
    }
    try {
      writeSync(fd, JSON.stringify(own));
    } catch (error) {
      rmSync(file, { force: true });
      throw asFileError(error, file, 'write');
    } finally {
      closeSync(fd);
    }
    return () => rmSync(file, { force: true });
  }
}
