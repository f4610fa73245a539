/** @file The folder of checkpoints: names, several names of one file, the newest kept, leftovers swept. */
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, linkSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { FileError } from '../../graph-builder/errors.js';
import { asFileError } from '../files.js';

/** A file in checkpoint/ without its ending: last, best, or the step's, e.g. step-000120. */
export type CheckpointName = string;

const ENDING = '.safetensors';
const STEP = /^step-(\d+)$/;

const folderOf = (run: string): string => join(run, 'checkpoint');

/** @example stepName(120) // 'step-000120' */
export const stepName = (step: number): CheckpointName => `step-${String(step).padStart(6, '0')}`;

export const checkpointPath = (run: string, name: CheckpointName): string =>
  join(folderOf(run), `${name}${ENDING}`);

export const hasCheckpoint = (run: string, name: CheckpointName = 'last'): boolean =>
  existsSync(checkpointPath(run, name));

const filesOf = (run: string): string[] => (existsSync(folderOf(run)) ? readdirSync(folderOf(run)) : []);

/** Names of all checkpoints: best and last, then those of steps from the oldest on. */
export function listCheckpoints(run: string): CheckpointName[] {
  const names = filesOf(run)
    .filter((file) => file.endsWith(ENDING))
    .map((file) => file.slice(0, -ENDING.length));
  const steps = stepsOf(names).map(stepName);
  return [...names.filter((name) => !STEP.test(name)).sort(), ...steps];
}

const stepsOf = (names: readonly CheckpointName[]): number[] =>
  names
    .flatMap((name) => STEP.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);

/** @throws {FileError} with the names that there are, unless this is one of them. */
export function checkExists(run: string, name: CheckpointName): void {
  const names = listCheckpoints(run);
  if (names.includes(name)) return;
  throw new FileError(
    'no such checkpoint',
    checkpointPath(run, name),
    names.length > 0 ? `choose from ${names.join(', ')}, base` : 'train the run with ort-train first',
  );
}

/** Deletes what a kill left half-written and, for a training from the start, the checkpoints of the one before. */
export function clearCheckpoints(run: string, keepWhole: boolean): void {
  if (!keepWhole)
    for (const file of filesOf(run)) rmSync(join(folderOf(run), file), { recursive: true, force: true });
  sweepTemporary(folderOf(run));
}

/** Deletes the temporary files of a folder that a killed writer left. */
export function sweepTemporary(folder: string): void {
  for (const file of existsSync(folder) ? readdirSync(folder) : [])
    if (/\.[0-9a-f]{8}\.tmp$/.test(file)) rmSync(join(folder, file), { force: true });
}

/** Deletes all but the newest `keep` checkpoints that bear a step's name. */
export function pruneCheckpoints(run: string, keep: number): void {
  const steps = stepsOf(listCheckpoints(run));
  for (const step of steps.slice(0, Math.max(0, steps.length - keep)))
    rmSync(checkpointPath(run, stepName(step)), { force: true });
}

/** A second name for a checkpoint, replaced at once: a link where there are links, so that gigabytes are written once. */
export function linkCheckpoint(run: string, from: CheckpointName, to: CheckpointName): void {
  const target = checkpointPath(run, to);
  const temporary = `${target}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    try {
      linkSync(checkpointPath(run, from), temporary);
    } catch {
      copyFileSync(checkpointPath(run, from), temporary); // exFAT and some network drives know no links
    }
    renameSync(temporary, target);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw asFileError(error, target, 'write');
  }
}
