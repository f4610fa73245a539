/** @file What the tests of weight files share. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { FileError } from '../../../graph-builder/errors.js';

/** A folder that is removed after the file's tests. */
export const folder = mkdtempSync(join(tmpdir(), 'mile-ort-weights-'));
afterAll(() => rmSync(folder, { recursive: true }));
export const path = (name: string): string => join(folder, name);

/** The error of an action, which must be a {@link FileError}: a RangeError or TypeError is a bug. */
export function fileError(act: () => unknown): FileError | undefined {
  try {
    act();
  } catch (error) {
    if (error instanceof FileError) return error;
    throw error;
  }
  return undefined;
}

export const bytesOf = (data: ArrayBufferView) => () =>
  new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
