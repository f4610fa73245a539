/** @file The ordinary commands that make a run of a study. Nothing else here knows their flags. */
import { join } from 'node:path';
import { instructionFile, instructionSplit } from './instruction.js';
import { BASE, type Flags, runId, type StudyRun } from './row.js';

/** What all runs of a study share. */
export interface StudyContext {
  /** the study's folder */
  readonly out: string;
  readonly data: string;
  readonly split: string;
  readonly preset: string;
  /** first n questions of training and test; null: all */
  readonly limit: number | null;
  /** folder that the image names of the instruction data are below; where there are such rows */
  readonly imageRoot?: string;
  /** flags of the machine, which decide no number beyond rounding: device, threads */
  readonly machine: Flags;
}

export interface Command {
  readonly bin: 'build-graph' | 'ort-train' | 'ort-eval' | 'ort-data';
  readonly args: readonly string[];
}

export const runFolder = ({ out }: Pick<StudyContext, 'out'>, run: StudyRun): string =>
  join(out, 'runs', runId(run));

const asArgs = (flags: Flags): string[] =>
  Object.entries(flags).flatMap(([name, value]) =>
    value === false ? [] : value === true ? [`--${name}`] : [`--${name}`, String(value)],
  );

const limited = ({ limit }: StudyContext): Flags => (limit === null ? {} : { limit });

export function buildCommand(context: StudyContext, run: StudyRun): Command {
  const { variant, placement, build } = run.row;
  const flags: Flags = {
    variant,
    ...(variant === 'full' ? {} : { placement }),
    preset: context.preset,
    out: join(context.out, 'runs'),
    name: runId(run),
    seed: run.seed,
  };
  return { bin: 'build-graph', args: asArgs({ ...flags, ...build }) };
}

export function trainCommand(context: StudyContext, run: StudyRun): Command {
  const { form, train, after } = run.row;
  const instruct = form === 'instruction';
  const first = after === null ? undefined : { ...run, row: { ...run.row, id: after } };
  const flags: Flags = {
    run: runFolder(context, run),
    data: instruct ? instructionFile(context) : context.data,
    split: instruct ? instructionSplit(context) : context.split,
    ...(instruct && context.imageRoot !== undefined && { 'image-root': context.imageRoot }),
    seed: run.seed,
    ...(first && { 'init-from': runFolder(context, first) }),
    ...limited(context),
    ...context.machine,
  };
  return { bin: 'ort-train', args: asArgs({ ...flags, ...train }) };
}

/** Goes on from the last checkpoint, with its options. */
export const resumeCommand = (context: StudyContext, run: StudyRun): Command => ({
  bin: 'ort-train',
  args: asArgs({ run: runFolder(context, run), resume: true }),
});

/** Test questions are always the original ones. */
export function evaluateCommand(context: StudyContext, run: StudyRun): Command {
  const { data, split, machine } = context;
  const { threads } = machine;
  const flags: Flags = {
    run: runFolder(context, run),
    data,
    split,
    ...(run.row.trained ? {} : { checkpoint: BASE }),
    ...limited(context),
    ...(threads !== undefined && { threads }),
  };
  return { bin: 'ort-eval', args: asArgs(flags) };
}

/** A word as a POSIX shell reads it back. */
export const quoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

/** Commands as one line of a shell; npx finds them in this checkout, too. */
export const shellLine = (commands: readonly Command[]): string =>
  commands.map(({ bin, args }) => ['npx', bin, ...args].map(quoted).join(' ')).join(' && ');
