/** @file How far a run of a study is: read from its folder alone, whoever made it. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { hasCheckpoint } from '../../../training-artifacts/checkpoint/checkpoint.js';
import { readSummary } from '../training/summary.js';
import {
  buildCommand,
  type Command,
  evaluateCommand,
  instructCommand,
  instructionFolder,
  resumeCommand,
  runFolder,
  type StudyContext,
  trainCommand,
} from './commands.js';
import { BASE, type StudyRun } from './row.js';

/** The file with the scores of the test questions, if there is one. */
export function scoresFile(folder: string, trained: boolean): string | undefined {
  const eval_ = join(folder, 'eval');
  const name = new RegExp(`-test-${trained ? 'auto' : BASE}\\.json$`);
  const file = existsSync(eval_) ? readdirSync(eval_).find((f) => name.test(f)) : undefined;
  return file && join(eval_, file);
}

/** Trained to its end, or not to be trained. */
const isTrained = (folder: string, { row }: StudyRun): boolean =>
  !row.trained || readSummary(folder)?.finished === true;

export function isFinished(context: Pick<StudyContext, 'out'>, run: StudyRun): boolean {
  const folder = runFolder(context, run);
  return isTrained(folder, run) && scoresFile(folder, run.row.trained) !== undefined;
}

/** Whether the row that it starts from is trained. */
export function isReady(context: Pick<StudyContext, 'out'>, run: StudyRun): boolean {
  const { after } = run.row;
  if (after === null) return true;
  const first = { ...run, row: { ...run.row, id: after, after: null } };
  return isTrained(runFolder(context, first), first);
}

/** The commands that are left to do, in their order. */
export function commandsLeft(context: StudyContext, run: StudyRun): Command[] {
  const folder = runFolder(context, run);
  const instruct = run.row.form === 'instruction' && !existsSync(instructionFolder(context));
  const built = existsSync(join(folder, 'manifest.json'));
  const started = built && hasCheckpoint(folder);
  return [
    ...(instruct && !started ? [instructCommand(context)] : []),
    ...(built ? [] : [buildCommand(context, run)]),
    ...(isTrained(folder, run) ? [] : [started ? resumeCommand(context, run) : trainCommand(context, run)]),
    ...(isFinished(context, run) ? [] : [evaluateCommand(context, run)]),
  ];
}
