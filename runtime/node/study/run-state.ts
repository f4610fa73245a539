/** @file How far a run of a study is: read from its folder alone, whoever made it. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { hasCheckpoint } from '../../../training-artifacts/checkpoint/checkpoint.js';
import { evaluationName } from '../scoring/recorded.js';
import { readSummary } from '../training/summary.js';
import {
  buildCommand,
  type Command,
  evaluateCommand,
  resumeCommand,
  runFolder,
  type StudyContext,
  trainCommand,
} from './commands.js';
import { instructCommand, isInstructed } from './instruction.js';
import { BASE, type StudyRun } from './row.js';

/** What is known of a study without its options. */
export type StudyPlace = Pick<StudyContext, 'out' | 'split'> & Partial<Pick<StudyContext, 'limit'>>;

/** The file with the scores of the split's test questions, if there is one. */
export function scoresFile({ split, limit, ...context }: StudyPlace, run: StudyRun): string | undefined {
  const folder = join(runFolder(context, run), 'eval');
  const checkpoint = run.row.trained ? 'auto' : BASE;
  // the name of a data set of one's own stands before it
  const end = `${evaluationName({ split, on: 'test', limit: limit ?? undefined, checkpoint, mode: 'generate' })}.json`;
  const file = existsSync(folder) ? readdirSync(folder).find((name) => name.endsWith(end)) : undefined;
  return file && join(folder, file);
}

/** Trained to its end, or not to be trained. */
const isTrained = (folder: string, { row }: StudyRun): boolean =>
  !row.trained || readSummary(folder)?.finished === true;

export function isFinished(context: StudyPlace, run: StudyRun): boolean {
  const folder = runFolder(context, run);
  return isTrained(folder, run) && scoresFile(context, run) !== undefined;
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
  const instruct = run.row.form === 'instruction' && !isInstructed(context);
  const built = existsSync(join(folder, 'manifest.json'));
  const started = built && hasCheckpoint(folder);
  return [
    ...(instruct && !started ? [instructCommand(context)] : []),
    ...(built ? [] : [buildCommand(context, run)]),
    ...(isTrained(folder, run) ? [] : [started ? resumeCommand(context, run) : trainCommand(context, run)]),
    ...(isFinished(context, run) ? [] : [evaluateCommand(context, run)]),
  ];
}
