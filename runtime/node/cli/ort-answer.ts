/** @file `ort-answer`: one question about one image. */
import type { Argv } from 'yargs';
import type { FrameChoice } from '../../../datasets/images/dicom/frames.js';
import { UserError } from '../../../graph-builder/errors.js';
import type { DeletionTest } from '../../core/explain.js';
import type { OneAnswer } from '../answer-one.js';
import { checkBeams, checkExplain, rankFlags, rankOptions } from './eval/flags.js';
import { checkCount, defineCommand, formatTable, NOTICE } from './main.js';
import { percent } from './scores-table.js';

const options = (y: Argv) =>
  y
    .option('image', {
      type: 'string',
      demandOption: true,
      describe:
        'PNG (8 or 16 bit), JPEG, WebP, TIFF or DICOM; with --frame also a folder with a DICOM series',
    })
    .option('frame', {
      type: 'string',
      describe:
        'first, middle or a number from 1: of a DICOM file with several frames (default first), or the slice of a folder',
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
    .options(rankFlags)
    .option('explain', {
      type: 'string',
      describe:
        'write a heat map of where the answer comes from; default explanation.png, and a .json beside it',
    })
    .option('hide', {
      type: 'number',
      default: 0.2,
      describe: 'with --explain: share of the patches that the deletion test hides',
    })
    .option('draws', {
      type: 'number',
      default: 40,
      describe: 'with --explain: random choices of patches to compare with',
    })
    .option('seed', { type: 'number', default: 0, describe: 'with --explain: of these choices' })
    .option('threads', { type: 'number', describe: 'threads inside an operator' })
    .option('json', { type: 'boolean', default: false, describe: 'print the answer as JSON' })
    .example(
      '$0 --image scan.png --question "Is there a pleural effusion?"',
      'the answer, its probability and the runners-up',
    )
    .example(
      '$0 --image scan.png --question "Is it a CT?" --adapter runs/lora-r8 --adapter from-peft',
      'two adapters on one base, side by side',
    )
    .example('$0 --image scan.png --question "Is this a CT?" --explain heat.png', 'with a heat map')
    .example(
      '$0 --image series/ --frame middle --question "Is there a mass?"',
      'the middle slice of a DICOM series',
    );

const losses = (name: string, { lost, lostAtRandom, low, high, p }: DeletionTest): string[] => [
  name,
  percent(lost),
  percent(lostAtRandom),
  `${percent(low)} to ${percent(high)}`,
  p.toFixed(3),
];

function explanationText({ png, json, deletion }: NonNullable<OneAnswer['explanation']>): string {
  const { gradient, attention } = deletion;
  const { patches, draws } = gradient;
  const faithful = gradient.p <= 0.05 && gradient.lost > 0;
  return [
    `heat map ${png}, numbers ${json}`,
    `\npoints of probability lost when the ${patches} hottest patches are hidden, and ${draws} times ${patches} random ones:`,
    formatTable([
      ['map', 'hottest', 'random', '95% of draws', 'p'],
      losses('gradient-weighted', gradient),
      losses('attention', attention),
    ]),
    faithful
      ? 'here the gradient-weighted map names patches that the answer depends on'
      : 'here the gradient-weighted map does no better than chance: do not read it as a reason',
  ].join('\n');
}

function answerText({ answer, probability, calibrated, abstains, beams, explanation }: OneAnswer): string {
  const sure = [
    `probability ${percent(probability)}%`,
    ...(calibrated === undefined ? [] : [`calibrated ${percent(calibrated)}%`]),
  ].join(', ');
  const notSure =
    'ABSTAINS: below the confidence that validation asks for; the answer is not to be relied on';
  return [
    `${answer}  (${sure})`,
    ...(abstains ? [notSure] : []),
    `\n${formatTable([['beam', '%'], ...beams.map((b) => [b.answer || '(nothing)', percent(b.probability)])])}`,
    ...(explanation ? [`\n${explanationText(explanation)}`] : []),
    `\n${NOTICE}`,
  ].join('\n');
}

/** @throws {UserError} for what is neither a word nor a number. */
function parseFrame(frame: string | undefined): FrameChoice | undefined {
  if (frame === undefined || frame === 'first' || frame === 'middle') return frame;
  if (/^[1-9]\d{0,6}$/.test(frame)) return Number(frame);
  throw new UserError(`frame '${frame}'`, '--frame', 'give first, middle or a number from 1');
}

/** `ort-answer`: the answer with its probability and the runner-up beams. */
export const ortAnswer = defineCommand({
  describe: 'Answer a question about an image',
  options,
  handler: async (flags) => {
    const { image, question, checkpoint, adapter, preset, weights } = flags;
    const threads = checkCount(flags.threads, '--threads');
    const frame = parseFrame(flags.frame);
    const ask = {
      image,
      question,
      beams: checkBeams(flags.beams),
      ...(threads && { threads }),
      ...(frame && { frame }),
    };
    if (adapter) {
      for (const flag of ['explain', 'candidates'] as const)
        if (flags[flag] !== undefined)
          throw new UserError(`--${flag} is of a run, not of --adapter`, `--${flag}`, 'give --run alone');
      if (flags.mode === 'rank')
        throw new UserError('--mode rank is of a run, not of --adapter', '--mode', 'give --run alone');
      const { printAdapterAnswers } = await import('./adapter-answers.js');
      return printAdapterAnswers({ ...flags, adapter, run: flags.run, preset, weights }, ask);
    }
    for (const flag of ['preset', 'weights'] as const)
      if (flags[flag] !== undefined)
        throw new UserError(`--${flag} needs --adapter`, `--${flag}`, 'give a run, or add --adapter');
    const { newestRun } = await import('../runs.js');
    const { answerOne } = await import('../answer-one.js');
    const explain = checkExplain(flags);
    const rank = rankOptions(flags);
    const run = flags.run ?? newestRun();
    const result = await answerOne(run, { ...ask, checkpoint, ...rank, ...(explain && { explain }) });
    for (const note of result.notes) process.stderr.write(`note: ${note}\n`);
    console.log(flags.json ? JSON.stringify({ ...result, notice: NOTICE }) : answerText(result));
  },
});
