/** @file grid.json: what a study consists of; a later call adds to it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { readJson } from '../../../datasets/read-json.js';
import { FileError, UserError } from '../../../graph-builder/errors.js';
import { writeJson } from '../../../training-artifacts/files.js';
import type { StudyContext } from './commands.js';
import { type Row, rowSchema, type StudyRun } from './row.js';

const settingsSchema = z.strictObject({
  format: z.literal('mile-ort study 1'),
  data: z.string(),
  split: z.string(),
  preset: z.string(),
  limit: z.number().int().positive().nullable(),
  /** in the order in which they are trained */
  rows: z.array(rowSchema.extend({ seeds: z.array(z.number().int()) })),
});
export type StudySettings = z.infer<typeof settingsSchema>;

export const settingsPath = (out: string): string => join(out, 'grid.json');

export const hasSettings = (out: string): boolean => existsSync(settingsPath(out));

export function readSettings(out: string): StudySettings {
  if (!hasSettings(out))
    throw new FileError(
      'no study lies here: it has no grid.json',
      out,
      'start one with ort-study, or give its --out',
    );
  return readJson(
    settingsPath(out),
    settingsSchema,
    'the file is damaged or of another version: choose another --out',
  );
}

const shared = ['data', 'split', 'preset', 'limit'] as const;
const decisive = ['variant', 'placement', 'form', 'after', 'trained', 'build', 'train'] as const;

/** The first setting in which two rows of the same name differ. */
function conflict(a: Row, b: Row): string | undefined {
  for (const key of decisive) {
    const [x, y] = [a[key], b[key]];
    if (JSON.stringify(x) === JSON.stringify(y)) continue;
    if (typeof x !== 'object' || typeof y !== 'object' || !x || !y) return `${key} ${x}, now ${y}`;
    const flag = [...Object.keys(x), ...Object.keys(y)].find((k) => x[k] !== y[k]);
    if (flag) return `--${flag} ${x[flag] ?? 'not given'}, now ${y[flag] ?? 'not given'}`;
  }
  return undefined;
}

/**
 * Adds rows and seeds to what the folder holds.
 *
 * @throws {UserError} when the folder's study has other data or another row of the same name.
 */
export function joinSettings(
  context: Omit<StudyContext, 'machine'>,
  rows: readonly Row[],
  seeds: readonly number[],
): StudySettings {
  const { out, data, split, preset, limit } = context;
  const old = hasSettings(out) ? readSettings(out) : undefined;
  const other = 'choose another --out, or delete the folder if its runs are not needed';
  for (const key of shared) {
    if (old && old[key] !== context[key])
      throw new UserError(
        `the study there was made with --${key} ${old[key]}, now ${context[key]}`,
        out,
        other,
      );
  }
  const kept = new Map((old?.rows ?? []).map((row) => [row.id, row]));
  for (const row of rows) {
    const before = kept.get(row.id);
    const differs = before && conflict(before, row);
    if (differs) throw new UserError(`row ${row.id} was made with ${differs}`, out, other);
    const own = row.trained ? seeds : [0];
    const all = [...new Set([...(before?.seeds ?? []), ...own])].sort((a, b) => a - b);
    kept.set(row.id, {
      ...row,
      tables: [...new Set([...(before?.tables ?? []), ...row.tables])],
      seeds: all,
    });
  }
  return { format: 'mile-ort study 1', data, split, preset, limit, rows: [...kept.values()] };
}

export const writeSettings = (out: string, settings: StudySettings): void =>
  writeJson(settingsPath(out), settings);

/** All rows with the first seed, then all with the second: a useful table exists early. */
export function runsOf({ rows }: Pick<StudySettings, 'rows'>): StudyRun[] {
  const seeds = [...new Set(rows.flatMap((row) => row.seeds))].sort((a, b) => a - b);
  return seeds.flatMap((seed) =>
    rows.filter((row) => row.seeds.includes(seed)).map(({ seeds: _, ...row }) => ({ row, seed })),
  );
}
