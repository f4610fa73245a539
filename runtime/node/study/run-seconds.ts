/** @file How long a finished run took, from its own files. */
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
