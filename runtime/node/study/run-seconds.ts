/** @file How long a finished run took and with how many threads, from its own files. */
import { hasCheckpoint, readCheckpointState } from '../../../training-artifacts/checkpoint/checkpoint.js';
import { readJson } from '../../../training-artifacts/files.js';
import { readLog } from '../training/log.js';
import { runFolder } from './commands.js';
import type { StudyRun } from './row.js';
import { type StudyPlace, scoresFile } from './run-state.js';

/** Seconds of its updates, validations and scoring; loading is not counted. 0 where nothing is known. */
export function secondsOfRun(context: StudyPlace, run: StudyRun): number {
  const file = scoresFile(context, run);
  const scoring = file ? (readJson(file) as { seconds?: number }).seconds : 0;
  return readLog(runFolder(context, run)).reduce((sum, { seconds }) => sum + seconds, scoring ?? 0);
}

/** Threads inside an operator in its training; undefined where it was not trained, or does not say. */
export function threadsOfRun(context: Pick<StudyPlace, 'out'>, run: StudyRun): number | undefined {
  const folder = runFolder(context, run);
  if (!run.row.trained || !hasCheckpoint(folder)) return undefined;
  // e.g. '2', or '2 cores, default'
  const threads = Number.parseInt(readCheckpointState(folder, 'last').environment.threads ?? '', 10);
  return Number.isNaN(threads) ? undefined : threads;
}
