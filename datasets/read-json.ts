/** @file Reads JSON files that are checked by a schema. */
import { readFileSync, statSync } from 'node:fs';
import { z } from 'zod';
import { FileError } from '../graph-builder/errors.js';

/** Near what a string can hold, bytes; in memory the content takes several times as much. */
export const MOST_BYTES = 2 ** 29 - 2 ** 10;

/**
 * The content of a JSON file, checked.
 *
 * @throws {FileError} when the file is missing, above half a GB, cut off or not of the schema; `remedy` says what to do.
 */
export function readJson<T>(path: string, schema: z.ZodType<T>, remedy: string): T {
  const { size } = statSync(path, { throwIfNoEntry: false }) ?? { size: 0 };
  if (size > MOST_BYTES)
    throw new FileError(
      `${(size / 1e9).toFixed(1)} GB of JSON, which is read whole: more than ${(MOST_BYTES / 1e9).toFixed(1)} GB do not fit a string`,
      path,
      `check that this is the right file; ${remedy}`,
    );
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const what = code === 'ENOENT' ? 'file not found' : `file cannot be read (${code})`;
    throw new FileError(what, path, remedy, { cause: error });
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    const what = `damaged or truncated JSON of ${text.length} characters: ${(error as Error).message}`;
    throw new FileError(what, path, remedy, { cause: error });
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const first = new z.ZodError(parsed.error.issues.slice(0, 3));
  throw new FileError(`unexpected content: ${z.prettifyError(first)}`, path, remedy);
}
