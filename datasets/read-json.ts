/** @file Reads JSON files that are checked by a schema. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { FileError } from '../graph-builder/errors.js';

/**
 * The content of a JSON file, checked.
 *
 * @throws {FileError} when the file is missing, cut off or not of the schema; `remedy` says what to do.
 */
export function readJson<T>(path: string, schema: z.ZodType<T>, remedy: string): T {
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
