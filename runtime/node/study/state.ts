/** @file state.json: what happened to runs that are not finished. Finished ones speak for themselves. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { readJson } from '../../../datasets/read-json.js';
import { writeJson } from '../../../training-artifacts/files.js';

const entrySchema = z.strictObject({
  /** cut: the budget did not reach */
  status: z.enum(['failed', 'cut', 'waits']),
  reason: z.string(),
});
export type RunTrouble = z.infer<typeof entrySchema>;

const stateSchema = z.record(z.string(), entrySchema);
export type StudyState = z.infer<typeof stateSchema>;

const statePath = (out: string): string => join(out, 'state.json');

export const readState = (out: string): StudyState =>
  existsSync(statePath(out))
    ? readJson(statePath(out), stateSchema, 'delete the file: it only holds reasons')
    : {};

export const writeState = (out: string, state: StudyState): void => writeJson(statePath(out), state);
