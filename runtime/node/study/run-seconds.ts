/** @file How long a finished run took, from its own files. */
import { readJson } from '../../../training-artifacts/files.js';
import { readLog } from '../training/log.js';
import { scoresFile } from './run-state.js';

/** Seconds of its updates, validations and scoring; loading is not counted. 0 where nothing is known. */
export function secondsOfRun(folder: string, trained: boolean): number {
  const file = scoresFile(folder, trained);
  const scoring = file ? (readJson(file) as { seconds?: number }).seconds : 0;
  return readLog(folder).reduce((sum, { seconds }) => sum + seconds, scoring ?? 0);
}
