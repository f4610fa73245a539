/** @file `ort-train`: train a run. */
import type { ArgumentsCamelCase, Argv } from 'yargs';
import { UserError } from '../../../graph-builder/errors.js';
import type { RecomputeMode } from '../../../graph-builder/rewrites/recompute.js';
import type { TrainOptions } from '../training/options.js';
import type { Quote } from '../training/quote.js';
import type { TrainingSummary } from '../training/run.js';
import { buildOptions, toBuildOptions } from './build-options.js';
import { absolute } from './data/read-flags.js';
import { checkCount, defineCommand, formatTable } from './main.js';
import { trainingOptions } from './train-options.js';

const runOptions = {
  run: {
    type: 'string',
    describe: 'run folder; default: the newest in runs/, or the one that --variant builds',
  },
  resume: {
    type: 'boolean',
    default: false,
    describe: 'go on from the last checkpoint, with its options',
  },
  overwrite: {
    type: 'boolean',
    default: false,
    describe: 'train again although there is a checkpoint',
  },
  'ort-checkpoint': {
    type: 'string',
    describe: "go on from a checkpoint that Python's onnxruntime-training saved (ort-training/train.py)",
  },
  'init-from': {
    type: 'string',
    describe:
      'RUN or RUN:CHECKPOINT: start from the trained tensors of another run of the same variant, e.g. one trained on instruction data',
  },
  'dry-run': {
    type: 'boolean',
    default: false,
    describe: 'measure a few steps, print memory and time of the whole training, train nothing',
  },
  'memory-gb': {
    type: 'number',
    describe:
      'stay below this many GB: picks the batch that fits (measured) and accumulates to the size asked for; with --variant also --recompute',
  },
  out: { type: 'string', default: 'runs', describe: 'parent of the run folders' },
  name: { type: 'string', describe: 'name of the run folder that --variant builds' },
  json: { type: 'boolean', default: false, describe: 'print the summary as JSON' },
} as const;

const options = (y: Argv) =>
  buildOptions(trainingOptions(y.options(runOptions).group(Object.keys(runOptions), 'Run:')))
    .example('$0', 'train the newest run')
    .example('$0 --variant lora-r8 --placement F/P/P', 'build a run, then train it')
    .example('$0 --data my-table.csv --image-col file --split image', 'on data of your own')
    .example('$0 --run runs/lora-r8 --resume', 'go on after an interrupt')
    .example('$0 --run runs/stage2 --init-from runs/stage1', 'second stage of a training in two')
    .example('$0 --epochs 50 --eval-every-steps 100 --early-stopping 5', 'as long as validation improves')
    .example(
      '$0 --variant full --weights random --frame --epochs 18 --warmup-steps 100 --augment',
      'train a base from scratch',
    );

type Flags = ReturnType<typeof options> extends Argv<infer T> ? ArgumentsCamelCase<T> : never;

const BUILD_FLAGS = [
  'variant',
  'preset',
  'placement',
  'vit',
  'jtm',
  'decoder',
  'sites',
  'alpha',
  'lora-dropout',
  'module-dropout',
  'reference-dropout',
  'recompute',
  'precision',
  'frozen-compute',
  'int8-skip',
  'weights',
  'max-question-tokens',
] as const;

interface ChosenRun {
  readonly run: string;
  /** builds it first */
  readonly build?: (mode: RecomputeMode | undefined, again: boolean) => Promise<unknown>;
}

/** The run to train: given, to be built from --variant, or the newest. */
async function chooseRun(flags: Flags): Promise<ChosenRun> {
  const given = BUILD_FLAGS.filter((flag) => flags[flag] !== undefined);
  const { newestRun, runPath } = await import('../runs.js');
  if (flags.run && given.length > 0) {
    throw new UserError(
      `--run names a finished graph, --${given[0]} would build another`,
      `--${given[0]}`,
      'give one of the two',
    );
  }
  if (flags.run) return { run: flags.run };
  const named = flags.variant ?? flags.vit ?? flags.jtm ?? flags.decoder;
  if (!named) {
    if (given.length > 0)
      throw new UserError(`--${given[0]} needs --variant`, 'command line', 'add e.g. --variant lora-r8');
    return { run: newestRun(flags.out) };
  }
  const options = toBuildOptions(flags);
  const run = runPath(options, flags);
  const build = async (mode: RecomputeMode | undefined, again: boolean) => {
    const { emitVariant } = await import('../../../training-artifacts/graphs/emit.js');
    const { withFrozenCompute } = await import('../frozen-compute-options.js');
    const chosen = await withFrozenCompute(options, flags.frozenCompute, flags.int8Skip);
    emitVariant({ ...chosen, ...(mode && { recompute: mode }) }, run, flags.overwrite || again);
  };
  return { run, build };
}

/** Defaults overridden by the flags that were given, checked. */
async function trainOptions(flags: Flags) {
  const { trainDefaults, trainOptionsSchema } = await import('../training/options.js');
  // a resumed run may be started from another folder
  const located = Object.fromEntries(
    (['data', 'split', 'imageRoot'] as const).map((key) => [key, flags[key] && absolute(flags[key])]),
  );
  const values = Object.entries({ ...flags, ...located } as Record<string, unknown>).filter(
    ([key, value]) => key in trainDefaults && value !== undefined,
  );
  const parsed = trainOptionsSchema.safeParse({ ...trainDefaults, ...Object.fromEntries(values) });
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const flag = String(issue.path[0]).replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
  throw new UserError(issue.message, `--${flag}`, 'run ort-train --help for what it takes');
}

/** As shells number the end by a signal. */
const exitCodes = { SIGINT: 130, SIGTERM: 143 } as const;

function printSummary(summary: TrainingSummary): void {
  const { run, steps, seconds, finished, early, curves, adapter, report } = summary;
  const how = early ? ', validation improved no more' : finished ? '' : ', stopped';
  console.log(`${run}: ${steps} steps in ${seconds.toFixed(0)} s${how}`);
  console.log(`curves ${curves}\nadapter ${adapter}\nreport ${report}`);
  if (!finished) console.log(`go on: ort-train --run ${run} --resume`);
  else if (summary.answers) console.log(`next: ort-eval --run ${run}`);
}

/** What the training will take; with a limit, what fits it. */
async function quote(run: string, given: TrainOptions, flags: Flags): Promise<Quote | undefined> {
  const { memoryGb, dryRun } = flags;
  if (memoryGb === undefined && !dryRun) return undefined;
  if (memoryGb !== undefined && !(memoryGb > 0))
    throw new UserError(`${memoryGb} GB`, '--memory-gb', 'give a positive number, e.g. 8');
  const { quoteTraining } = await import('../training/quote.js');
  process.stderr.write(`${run}  measuring a few steps\n`);
  return quoteTraining(run, given, memoryGb === undefined ? undefined : 1e9 * memoryGb);
}

/** Builds the run; with a memory limit, keeping fewer activations until a batch of one fits. */
async function buildToFit(run: string, build: ChosenRun['build'], given: TrainOptions, flags: Flags) {
  const modes =
    flags.memoryGb !== undefined && build && !flags.recompute
      ? ([undefined, 'selective', 'blocks'] as const)
      : [flags.recompute];
  for (const [i, mode] of modes.entries()) {
    await build?.(mode, i > 0);
    try {
      return await quote(run, given, flags);
    } catch (error) {
      if (i + 1 === modes.length || !(error instanceof UserError) || error.where !== '--memory-gb')
        throw error;
      process.stderr.write(`${run}  ${error.what}: trying --recompute ${modes[i + 1]}\n`);
    }
  }
}

function printQuote(found: Quote): void {
  const hours = (s: number) => (s < 5400 ? `${(s / 60).toFixed(1)} min` : `${(s / 3600).toFixed(1)} h`);
  const gb = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;
  console.log(
    formatTable([
      ['measured', ''],
      ['batch x accumulation', `${found.batchSize} x ${found.accumulate}`],
      ['weights in memory', found.weightsInMemory],
      ['seconds a step', found.secondsPerStep.toFixed(2)],
      ['peak memory', gb(found.peakBytes)],
      ['steps an epoch', String(found.stepsPerEpoch)],
      ['time an epoch', hours(found.secondsPerEpoch)],
      ['time in all, validation not counted', hours(found.secondsTotal)],
      ['a checkpoint on disk', gb(found.checkpointBytes)],
    ]),
  );
}

/** `ort-train`: train a run's adapters and T modules. */
export const ortTrain = defineCommand({
  describe: 'Train a run: adapters and trained modules',
  options,
  handler: async (flags) => {
    const given = await trainOptions(flags);
    const maxSteps = checkCount(flags.maxSteps, '--max-steps');
    const { run, build } = await chooseRun(flags);
    const { hasCheckpoint } = await import('../../../training-artifacts/checkpoint/checkpoint.js');
    const { offerResume } = await import('./offer-resume.js');
    const asks = hasCheckpoint(run) && !flags.resume && !flags.overwrite;
    const { ortCheckpoint } = flags;
    if (flags.initFrom !== undefined && (flags.resume || ortCheckpoint !== undefined))
      throw new UserError('a training that goes on has its tensors already', '--init-from', 'leave it out');
    const resume = flags.resume || ortCheckpoint !== undefined || (asks && (await offerResume(run)));
    const found = resume ? undefined : await buildToFit(run, build, given, flags);
    if (flags.dryRun) {
      if (!found)
        throw new UserError('--resume has its options already', '--dry-run', 'leave one of the two out');
      if (flags.json) console.log(JSON.stringify({ run, ...found }));
      else printQuote(found);
      return;
    }
    const { trainRun } = await import('../training/run.js');
    const { batchSize, accumulate, weightsInMemory } = found ?? given;
    const job = {
      run,
      options: { ...given, batchSize, accumulate, weightsInMemory },
      resume,
      ...(maxSteps !== undefined && { maxSteps }),
      ...(ortCheckpoint !== undefined && { ortCheckpoint }),
    };
    const summary = await trainRun(job, run);
    if (flags.json) console.log(JSON.stringify(summary));
    else printSummary(summary);
    if (!summary.finished && summary.interruptedBy) process.exitCode = exitCodes[summary.interruptedBy];
  },
});
