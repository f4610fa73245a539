/** @file `ort-eval`: score a run. */
import type { Argv } from 'yargs';
import { measureNames } from '../../../datasets/scoring/measure.js';
import { DATA, readFlags } from './data/read-flags.js';
import { checkFlags, rankFlags } from './eval/flags.js';
import { defineCommand } from './main.js';

export { answerBar, checkBeams } from './eval/flags.js';

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
    .option('metrics', {
      type: 'string',
      array: true,
      choices: measureNames,
      describe: 'measures beside exact match; default: all',
    })
    .option('calibrate', {
      type: 'boolean',
      default: false,
      describe: 'first fit temperature and threshold on the validation questions: eval/calibration.json',
    })
    .option('abstain-risk', {
      type: 'number',
      default: 0.2,
      describe: 'with --calibrate: share of wrong answers to allow on validation',
    })
    .options(rankFlags)
    .option('beams', { type: 'number', default: 3, describe: 'beams, 1 to 8' })
    .option('reference-padding', {
      type: 'boolean',
      default: false,
      describe: "attend to padding as the reference's decoder does",
    })
    .option('compare', {
      type: 'string',
      array: true,
      describe: 'two runs, or two files of predictions: paired difference and McNemar',
    })
    .option('flips', {
      type: 'string',
      describe: 'with --compare: file for the questions that one alone answers right',
    })
    .option('predictions', {
      type: 'string',
      describe: 'score this file of qid and prediction (JSONL, JSON, CSV) instead of a run',
    })
    .option('truth', {
      type: 'string',
      describe:
        'with --predictions: reference answers, vqa-rad or a file (also as VQA-RAD and SLAKE publish them)',
    })
    .option('report', { type: 'boolean', default: true, describe: 'write eval/<name>.html' })
    .option('limit', { type: 'number', describe: 'first n questions only; files named so' })
    .option('threads', { type: 'number', describe: 'threads inside an operator' })
    .option('json', { type: 'boolean', default: false, describe: 'print the scores as JSON' })
    .example('$0', 'the newest run on the official test questions')
    .example('$0 --run runs/lora-r8 --checkpoint base', 'what the base answers without its adapter')
    .example('$0 --calibrate --abstain-risk 0.2', 'temperature and threshold from validation, then the test')
    .example('$0 --compare runs/lora-r8 runs/full', 'which is better, and on which questions')
    .example('$0 --mode rank --candidates train', 'the likeliest of the training answers')
    .example('$0 --predictions theirs.jsonl --truth vqa-rad', 'predictions of another program');

export type EvalFlags = Awaited<ReturnType<typeof options>['argv']>;

/** `ort-eval`: scores of a run or of a file, or a comparison of two. */
export const ortEval = defineCommand({
  describe: 'Score a run: open, closed and overall accuracy with 95% intervals',
  options,
  handler: async (flags) => {
    checkFlags(flags);
    if (flags.compare) return (await import('./eval/compare.js')).compareCommand(flags);
    if (flags.predictions !== undefined) return (await import('./eval/score-file.js')).scoreFile(flags);
    await (await import('./eval/score-run.js')).scoreRun(flags);
  },
});
