/** @file `ort-answer`: one question about one image. */
import type { Argv } from 'yargs';
import type { FrameChoice } from '../../../datasets/images/dicom/frames.js';
import { UserError } from '../../../graph-builder/errors.js';
import { checkCount, defineCommand, formatTable, NOTICE } from './main.js';
import { checkBeams } from './ort-eval.js';

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
      '$0 --image series/ --frame middle --question "Is there a mass?"',
      'the middle slice of a DICOM series',
    );

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
    const { newestRun } = await import('../runs.js');
    const { answerOne } = await import('../answer-one.js');
    const run = flags.run ?? newestRun();
    const { image, question, checkpoint } = flags;
    const threads = checkCount(flags.threads, '--threads');
    const frame = parseFrame(flags.frame);
    const result = await answerOne(run, {
      image,
      question,
      checkpoint,
      beams: checkBeams(flags.beams),
      ...(threads && { threads }),
      ...(frame && { frame }),
    });
    for (const note of result.notes) process.stderr.write(`note: ${note}\n`);
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
