/** @file dataset.json: how the table beside it is read, so that no flag need be given. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { readJson } from '../read-json.js';
import { readOptionsShape, type Source } from './format.js';

export const SETTINGS = 'dataset.json';

const settingsSchema = z
  .strictObject({ ...readOptionsShape, name: z.string().min(1), licence: z.string().min(1) })
  .partial();
export type Settings = z.infer<typeof settingsSchema>;

/** @throws {FileError} when the file is there but not of its schema. */
export function readSettings({ folder, entries }: Source): Settings {
  const file = join(folder, SETTINGS);
  if (!entries.includes(SETTINGS) || !existsSync(file)) return {};
  return readJson(
    file,
    settingsSchema,
    'correct it, or delete it and give flags: see ort-data inspect --help',
  );
}
