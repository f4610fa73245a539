/** @file What a run was trained on: what it is scored on unless told otherwise. */
import { z } from 'zod';
import { type ReadOptions, readOptionsShape } from '../../datasets/formats/format.js';
import { hasCheckpoint, readCheckpointState } from '../../training-artifacts/checkpoint/checkpoint.js';
import { readOptions } from './data.js';

const dataSchema = z.object({ data: z.string(), split: z.string(), ...readOptionsShape }).partial();
export type DataChoice = Partial<ReadOptions> & { readonly data?: string; readonly split?: string };

/** The data set, split and columns in the run's last checkpoint, if it has one, overridden by what is `given`. */
export function trainedOn(run: string, given: DataChoice): DataChoice {
  const told = Object.fromEntries(
    Object.entries({ split: given.split, ...readOptions(given) }).filter(([, value]) => value !== undefined),
  );
  if (!hasCheckpoint(run)) return told;
  const saved = dataSchema.safeParse(readCheckpointState(run, 'last').options);
  return saved.success ? { ...saved.data, ...told } : told;
}
