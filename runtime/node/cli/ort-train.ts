/** @file `ort-train`: train a run. */
import type { ArgumentsCamelCase, Argv } from 'yargs';
import { UserError } from '../../../graph-builder/errors.js';
import { buildOptions, toBuildOptions } from './build-options.js';
import { checkCount, defineCommand } from './main.js';

/** Flags that are training options of the same name in camel case; null defaults are left to the trainer. */
const options = (y: Argv) =>
  buildOptions(y)
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
    .option('data', {
      type: 'string',
      describe:
        'data set; default vqa-rad (ships with the package); of a model that build-graph --from made: a .safetensors ' +
        'file of its inputs and labels, samples along the first axis',
    })
    .option('split', {
      type: 'string',
      describe: 'official (its test images are also in training) or image (disjoint); default official',
    })
    .option('frame', {
      type: 'boolean',
      describe: "add VQA-RAD's templated restatements, minus those worded like a test question",
    })
    .option('limit', { type: 'number', describe: 'train on the first n questions only' })
    .option('epochs', { type: 'number', describe: 'default 10' })
    .option('max-steps', { type: 'number', describe: 'stop after this step; --resume goes on' })
    .option('batch-size', { type: 'number', describe: 'questions a step; default 32' })
    .option('questions-per-image', {
      type: 'number',
      describe: 'questions on one image kept together: the image is encoded once; default 1',
    })
    .option('accumulate', { type: 'number', describe: 'batches an update; default 1' })
    .option('lr', { type: 'number', describe: 'initial learning rate; default 5e-4' })
    .option('min-lr', { type: 'number', describe: 'final learning rate; default 0' })
    .option('warmup-steps', { type: 'number', describe: 'steps of linear warm-up; default 0' })
    .option('schedule', {
      choices: ['cosine-epoch', 'cosine', 'constant'] as const,
      describe: "default cosine-epoch, the paper's",
    })
    .option('lora-plus-ratio', {
      type: 'number',
      describe: "LoRA+: learning rate of lora_B as a multiple of lora_A's, e.g. 16; default 1",
    })
    .option('weight-decay', { type: 'number', describe: 'decoupled; default 0.05' })
    .option('clip', { type: 'number', describe: 'largest gradient norm, 0 = off; default 1' })
    .option('augment', {
      type: 'boolean',
      describe: 'small random shifts and brightness; never flips: sides matter',
    })
    .option('eval-every', { type: 'number', describe: 'epochs between validations, 0 = none; default 1' })
    .option('seed', { type: 'number', describe: 'data order, dropout, augmentation; default 0' })
    .option('threads', { type: 'number', describe: 'threads inside an operator; default: all cores' })
    .option('out', { type: 'string', default: 'runs', describe: 'parent of the run folders' })
    .option('name', { type: 'string', describe: 'name of the run folder that --variant builds' })
    .option('json', { type: 'boolean', default: false, describe: 'print the summary as JSON' })
    .example('$0', 'train the newest run')
    .example('$0 --variant lora-r8 --placement F/P/P', 'build a run, then train it')
    .example('$0 --run runs/lora-r8 --resume', 'go on after an interrupt')
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

/** The run to train: given, built from --variant, or the newest. */
async function findRun(flags: Flags): Promise<string> {
  const given = BUILD_FLAGS.filter((flag) => flags[flag] !== undefined);
  const { newestRun, runPath } = await import('../runs.js');
  if (flags.run && given.length > 0) {
    throw new UserError(
      `--run names a finished graph, --${given[0]} would build another`,
      `--${given[0]}`,
      'give one of the two',
    );
  }
  if (flags.run) return flags.run;
  const named = flags.variant ?? flags.vit ?? flags.jtm ?? flags.decoder;
  if (!named) {
    if (given.length > 0)
      throw new UserError(`--${given[0]} needs --variant`, 'command line', 'add e.g. --variant lora-r8');
    return newestRun(flags.out);
  }
  const build = toBuildOptions(flags);
  const run = runPath(build, flags);
  if (flags.resume) return run;
  const { emitVariant } = await import('../../../training-artifacts/graphs/emit.js');
  emitVariant(build, run, flags.overwrite);
  return run;
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

/** `ort-train`: train a run's adapters and T modules. */
export const ortTrain = defineCommand({
  describe: 'Train a run: adapters and trained modules, on CPU',
  options,
  handler: async (flags) => {
    const trainingOptions = await trainOptions(flags);
    const maxSteps = checkCount(flags.maxSteps, '--max-steps');
    const run = await findRun(flags);
    const { hasCheckpoint } = await import('../../../training-artifacts/checkpoint/checkpoint.js');
    if (hasCheckpoint(run) && !flags.resume && !flags.overwrite) {
      throw new UserError(
        'the run has a checkpoint already',
        run,
        'add --resume to go on, or --overwrite to start again',
      );
    }
    const { trainRun } = await import('../training/run.js');
    const { resume } = flags;
    const job = { run, options: trainingOptions, resume, ...(maxSteps !== undefined && { maxSteps }) };
    const summary = await trainRun(job, run);
    if (flags.json) return console.log(JSON.stringify(summary));
    console.log(
      `${run}: ${summary.steps} steps in ${summary.seconds.toFixed(0)} s${summary.finished ? '' : ', stopped'}`,
    );
    console.log(`curves ${summary.curves}\nadapter ${summary.adapter}`);
    if (!summary.finished) console.log(`go on: ort-train --run ${run} --resume`);
    else if (summary.answers) console.log(`next: ort-eval --run ${run}`);
  },
});
