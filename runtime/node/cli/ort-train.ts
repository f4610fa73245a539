/** @file `ort-train`: train a run. */
import type { ArgumentsCamelCase, Argv } from 'yargs';
import { UserError } from '../../../graph-builder/errors.js';
import type { TrainingSummary } from '../training/run.js';
import { buildOptions, toBuildOptions } from './build-options.js';
import { checkCount, defineCommand } from './main.js';
import { trainingOptions } from './train-options.js';

const options = (y: Argv) =>
  trainingOptions(buildOptions(y))
    .option('run', {
      type: 'string',
      describe: 'run folder; default: the newest in runs/, or the one that --variant builds',
    })
    .option('resume', {
      type: 'boolean',
      default: false,
      describe: 'go on from the last checkpoint, with its options',
    })
    .option('overwrite', {
      type: 'boolean',
      default: false,
      describe: 'train again although there is a checkpoint',
    })
    .option('out', { type: 'string', default: 'runs', describe: 'parent of the run folders' })
    .option('name', { type: 'string', describe: 'name of the run folder that --variant builds' })
    .option('json', { type: 'boolean', default: false, describe: 'print the summary as JSON' })
    .example('$0', 'train the newest run')
    .example('$0 --variant lora-r8 --placement F/P/P', 'build a run, then train it')
    .example('$0 --run runs/lora-r8 --resume', 'go on after an interrupt')
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
  'weights',
] as const;

interface ChosenRun {
  readonly run: string;
  /** builds it first */
  readonly build?: () => Promise<unknown>;
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
  const build = async () => {
    const { emitVariant } = await import('../../../training-artifacts/graphs/emit.js');
    emitVariant(options, run, flags.overwrite);
  };
  return { run, build };
}

/** Defaults overridden by the flags that were given, checked. */
async function trainOptions(flags: Flags) {
  const { trainDefaults, trainOptionsSchema } = await import('../training/options.js');
  const values = Object.entries(flags as Record<string, unknown>).filter(
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

/** `ort-train`: train a run's adapters and T modules. */
export const ortTrain = defineCommand({
  describe: 'Train a run: adapters and trained modules, on CPU',
  options,
  handler: async (flags) => {
    const given = await trainOptions(flags);
    const maxSteps = checkCount(flags.maxSteps, '--max-steps');
    const { run, build } = await chooseRun(flags);
    const { hasCheckpoint } = await import('../../../training-artifacts/checkpoint/checkpoint.js');
    const { offerResume } = await import('./offer-resume.js');
    const asks = hasCheckpoint(run) && !flags.resume && !flags.overwrite;
    const resume = flags.resume || (asks && (await offerResume(run)));
    if (!resume) await build?.();
    const { trainRun } = await import('../training/run.js');
    const job = { run, options: given, resume, ...(maxSteps !== undefined && { maxSteps }) };
    const summary = await trainRun(job, run);
    if (flags.json) console.log(JSON.stringify(summary));
    else printSummary(summary);
    if (!summary.finished && summary.interruptedBy) process.exitCode = exitCodes[summary.interruptedBy];
  },
});
