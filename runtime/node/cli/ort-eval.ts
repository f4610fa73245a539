/** @file `ort-eval`: score a run. */
import cliProgress from 'cli-progress';
import type { Argv } from 'yargs';
import { UserError } from '../../../graph-builder/errors.js';
import { absolute, DATA, readFlags } from './data/read-flags.js';
import { checkCount, defineCommand } from './main.js';

const options = (y: Argv) =>
  y
    .option('run', { type: 'string', describe: 'run folder; default: the newest in runs/' })
    .option('checkpoint', {
      type: 'string',
      default: 'auto',
      describe:
        'auto (best, else last, else the untrained base), base, or a file in checkpoint/: best, last, e.g. step-000120',
    })
    .option('data', { type: 'string', describe: `${DATA}; default: what the run was trained on` })
    .options(readFlags)
    .option('split', {
      type: 'string',
      describe:
        "official (the data set's own), image (no test image is in training), or a file that ort-data split wrote; default: that of the training, or official",
    })
    .option('on', {
      choices: ['test', 'validation'] as const,
      default: 'test' as const,
      describe: 'part of the split',
    })
    .option('beams', { type: 'number', default: 3, describe: 'beams, 1 to 8' })
    .option('reference-padding', {
      type: 'boolean',
      default: false,
      describe: "attend to padding as the reference's decoder does",
    })
    .option('limit', { type: 'number', describe: 'first n questions only' })
    .option('threads', { type: 'number', describe: 'threads inside an operator' })
    .option('json', { type: 'boolean', default: false, describe: 'print the scores as JSON' })
    .example('$0', 'the newest run on the official test questions')
    .example('$0 --run runs/lora-r8 --checkpoint base', 'what the base answers without its adapter');

/** @throws {UserError} unless 1 to 8 beams are asked for: the decoder graph returns no more. */
export function checkBeams(beams: number): number {
  if (Number.isInteger(beams) && beams >= 1 && beams <= 8) return beams;
  throw new UserError(`${beams} beams`, '--beams', 'choose 1 to 8');
}

/** A bar on standard error, if that is a terminal. */
export function answerBar(): { update: (done: number, total: number) => void; stop: () => void } {
  if (!process.stderr.isTTY) return { update: () => {}, stop: () => {} };
  const bar = new cliProgress.SingleBar({
    format: 'answering {bar} {value}/{total}  ETA {eta_formatted}',
    stream: process.stderr,
    clearOnComplete: true,
  });
  let started = false;
  return {
    update: (done, total) => {
      if (!started) bar.start(total, 0);
      started = true;
      bar.update(done);
    },
    stop: () => bar.stop(),
  };
}

/** `ort-eval`: open, closed and overall accuracy of a run. */
export const ortEval = defineCommand({
  describe: 'Score a run: open, closed and overall accuracy with 95% intervals',
  options,
  handler: async (flags) => {
    const { newestRun } = await import('../runs.js');
    const { evaluateRun } = await import('../evaluate.js');
    const { METRIC, scoresTable } = await import('./scores-table.js');
    const limit = checkCount(flags.limit, '--limit');
    const threads = checkCount(flags.threads, '--threads');
    const { trainedOn } = await import('../trained-on.js');
    const { readOptions } = await import('../data.js');
    const { run = newestRun(), on, checkpoint, referencePadding } = flags;
    const { data = 'vqa-rad', split = 'official', ...columns } = flags.data ? flags : trainedOn(run, flags);
    const bar = answerBar();
    const { evaluation } = await evaluateRun(run, {
      ...readOptions(columns),
      data,
      split: absolute(split),
      on,
      checkpoint,
      beams: checkBeams(flags.beams),
      referencePadding,
      ...(limit && { limit }),
      ...(threads && { threads }),
      onProgress: bar.update,
    });
    bar.stop();
    if (flags.json) return console.log(JSON.stringify(evaluation));
    console.log(
      `${run}, checkpoint ${checkpoint}, ${on} questions of ${data} (${split} split, sha256 ${evaluation.splitSha256.slice(0, 12)})\n`,
    );
    console.log(scoresTable(evaluation));
    console.log(`\n${METRIC}\npredictions ${evaluation.predictions}`);
  },
});
