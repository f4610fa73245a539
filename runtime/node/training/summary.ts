/** @file log/summary.json: how a training ended and what it took, for whoever looks at many runs. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { readJson } from '../../../datasets/read-json.js';
import { writeJson } from '../../../training-artifacts/files.js';
import { logFolder } from './log.js';

const summarySchema = z.object({
  finished: z.boolean(),
  /** by early stopping */
  early: z.boolean(),
  /** largest proportional set size of the training's two processes together; null where it cannot be measured */
  peakBytes: z.number().nullable(),
});
export type RunSummary = z.infer<typeof summarySchema>;

const summaryPath = (run: string): string => join(logFolder(run), 'summary.json');

/** Undefined for a run that is not trained, is being trained, or was trained by an earlier version. */
export function readSummary(run: string): RunSummary | undefined {
  const path = summaryPath(run);
  return existsSync(path)
    ? readJson(path, summarySchema, 'the file is damaged: train the run again')
    : undefined;
}

export const writeSummary = (run: string, summary: RunSummary): void => writeJson(summaryPath(run), summary);
