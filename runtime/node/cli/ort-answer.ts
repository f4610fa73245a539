/** @file `ort-answer`: one question about one image. */
import type { Argv } from 'yargs';
import { UserError } from '../../../graph-builder/errors.js';
import { checkCount, defineCommand, formatTable, NOTICE } from './main.js';
import { checkBeams } from './ort-eval.js';

const options = (y: Argv) =>
  y
    .option('image', {
      type: 'string',
      demandOption: true,
      describe: 'PNG (8 or 16 bit), JPEG, WebP or TIFF',
    })
    .option('question', { type: 'string', demandOption: true, describe: 'the question, in English' })
    .option('run', { type: 'string', describe: 'run folder; default: the newest in runs/' })
    .option('adapter', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe:
        "folder of an adapter, ours or PEFT's, or a run that has one: it answers on the base of --run or --preset; give it again for answers side by side",
    })
    .option('preset', {
      type: 'string',
      describe: 'with --adapter, instead of --run: miss-tiny, miss-small or miss-base',
    })
    .option('weights', {
      type: 'string',
      describe: 'with --preset: FILE.safetensors; default: the weights that ship with it',
    })
    .option('checkpoint', {
      type: 'string',
      default: 'auto',
      describe:
        'auto (best, else last, else the untrained base), base, or a file in checkpoint/: best, last, e.g. step-000120',
    })
    .option('beams', { type: 'number', default: 3, describe: 'beams, 1 to 8' })
    .option('threads', { type: 'number', describe: 'threads inside an operator' })
    .option('json', { type: 'boolean', default: false, describe: 'print the answer as JSON' })
    .example(
      '$0 --image scan.png --question "Is there a pleural effusion?"',
      'the answer, its probability and the runners-up',
    )
    .example(
      '$0 --image scan.png --question "Is it a CT?" --adapter runs/lora-r8 --adapter from-peft',
      'two adapters on one base, side by side',
    );

/** `ort-answer`: the answer with its probability and the runner-up beams. */
export const ortAnswer = defineCommand({
  describe: 'Answer a question about an image',
  options,
  handler: async (flags) => {
    const { image, question, checkpoint, adapter, preset, weights } = flags;
    const threads = checkCount(flags.threads, '--threads');
    const ask = { image, question, beams: checkBeams(flags.beams), ...(threads && { threads }) };
    if (adapter) {
      const { printAdapterAnswers } = await import('./adapter-answers.js');
      return printAdapterAnswers({ ...flags, adapter, run: flags.run, preset, weights }, ask);
    }
    for (const flag of ['preset', 'weights'] as const)
      if (flags[flag] !== undefined)
        throw new UserError(`--${flag} needs --adapter`, `--${flag}`, 'give a run, or add --adapter');
    const { newestRun } = await import('../runs.js');
    const { answerOne } = await import('../answer-one.js');
    const run = flags.run ?? newestRun();
    const result = await answerOne(run, { ...ask, checkpoint });
    if (flags.json) return console.log(JSON.stringify({ ...result, notice: NOTICE }));
    console.log(`${result.answer}  (probability ${(100 * result.probability).toFixed(1)}%)\n`);
    console.log(
      formatTable([
        ['beam', '%'],
        ...result.beams.map((b) => [b.answer || '(nothing)', (100 * b.probability).toFixed(1)]),
      ]),
    );
    console.log(`\n${NOTICE}`);
  },
});
