/** @file Options that do not fit: one clear message, exit code 2, nothing left on disk. */
import { join } from 'node:path';
import { beforeAll, describe, test } from 'vitest';
import { emitVariant } from '../../../training-artifacts/graphs/emit.js';
import { expectMessage, instead, temporaryFolder, tinyBuild, writeDeepGrey } from './runs.js';

const folder = temporaryFolder();
const built = join(folder, 'built');
const image = join(folder, 'grey16.png');

beforeAll(async () => {
  emitVariant(tinyBuild, built);
  await writeDeepGrey(image);
});

describe.concurrent('options', () => {
  const build = (...flags: string[]) => ['build-graph', flags] as const;
  const lora = (...flags: string[]) => build('--variant', 'lora-r4', ...flags);
  const train = (...flags: string[]) => ['ort-train', flags] as const;
  const cases: [string, readonly [string, string[]], RegExp][] = [
    ['no variant', build(), /^no variant given\n.*--variant\n.*lora-r8/],
    ['unknown variant', build('--variant', 'lora-8'), /^unknown variant 'lora-8'\n.*--variant\n.*lora-rN/],
    ['rank 0', build('--variant', 'lora-r0'), /^rank 0 is below 1\n.*--variant\n/],
    ['negative rank', build('--variant', 'lora-r-3'), /^rank -3 is below 1/],
    ['rank too large', build(...instead('lora-r2', 'lora-r99')), /^rank 99 is not below/],
    [
      'unknown placement',
      lora('--placement', 'F/X/P'),
      /^placement 'F\/X\/P' is not three of F, T and P\n.*--placement/,
    ],
    ['placement of two', lora('--placement', 'F/P'), /is not three of F, T and P/],
    ['placement without P', lora('--placement', 'F/T/T'), /^no module is adapted by lora/],
    [
      'full with a placement',
      build('--variant', 'full', '--placement', 'F/P/P'),
      /^full means T\/T\/T, not F\/P\/P\n/,
    ],
    [
      'unknown preset',
      lora('--preset', 'huge'),
      /^unknown preset 'huge'\n.*--preset\n.*miss-base, miss-small, miss-tiny/,
    ],
    ['unknown flag', lora('--rnk', '3'), /^Unknown argument: rnk\n.*command line\n.*--help/],
    ['stray word', lora('lora-r8'), /^Unknown (argument|command): lora-r8/],
    [
      'sites that match nothing',
      lora('--sites', 'nothing.*'),
      /^the pattern 'nothing\.\*'.*\n.*--sites\n.*query/,
    ],
    ['heads that do not divide', lora('--hidden', '30'), /^4 heads do not divide the width\n.*hidden 30/],
    ['image that is no whole number of patches', lora('--image-size', '100'), /multiple of 16/],
    ['a size that is no number', lora('--hidden', 'wide'), /^hidden is NaN/],
    ['alpha that is no number', lora('--alpha', 'x'), /--alpha/],
    ['dropout of 1', lora('--lora-dropout', '1'), /--lora-dropout/],
    ['module dropout above 1', lora('--module-dropout', '1.5'), /--module-dropout/],
    ['question length 0', lora('--max-question-tokens', '0'), /--max-question-tokens\n.*3 to 512/],
    ['seed that is no whole number', lora('--seed', '0.5'), /--seed/],
    ['unknown normalisation', lora('--normalisation', 'none'), /Choices: "imagenet"/],
    [
      'weights that do not ship',
      lora('--preset', 'miss-base', '--weights', 'pretrained'),
      /^no trained base weights ship for miss-base/,
    ],
    [
      'weights file that is missing',
      lora('--weights', 'none.safetensors'),
      /ENOENT.*\n.*none\.safetensors\n/,
    ],
    ['weights that are a folder', lora('--weights', '/'), /EISDIR.*\n.*\n.*give a file, not a folder/],
    [
      '--run with --variant',
      train('--run', 'a', '--variant', 'lora-r4'),
      /^--run names a finished graph, --variant would build another/,
    ],
    [
      '--run with --placement',
      train('--run', 'a', '--placement', 'F/P/P'),
      /--placement would build another/,
    ],
    ['--placement without --variant', train('--placement', 'F/P/P'), /^--placement needs --variant/],
    [
      'a run that is missing',
      train('--run', 'none'),
      /^not a run folder: it has no manifest\.json\n.*none\n.*build-graph/,
    ],
    ['no run at all', train(), /^there is no run yet\n.*runs\n.*build-graph --variant lora-r8/],
    ['negative learning rate', train('--run', 'a', '--lr', '-1'), /--lr\n/],
    ['no epoch', train('--run', 'a', '--epochs', '0'), /--epochs\n/],
    ['half a batch', train('--run', 'a', '--batch-size', '1.5'), /--batch-size\n/],
    ['no step', train('--run', 'a', '--max-steps', '0'), /--max-steps\n/],
    ['unknown schedule', train('--run', 'a', '--schedule', 'step'), /Choices: .*"linear"/],
    ['half a warm-up step', train('--run', 'a', '--warmup-steps', '0.5'), /--warmup-steps\n/],
    ['validation every -1 steps', train('--run', 'a', '--eval-every-steps', '-1'), /--eval-every-steps\n/],
    [
      'early stopping after half a validation',
      train('--run', 'a', '--early-stopping', '.5'),
      /--early-stopping\n/,
    ],
    ['half a checkpoint', train('--run', 'a', '--keep', '0.5'), /--keep\n/],
    ['saving every -3 steps', train('--run', 'a', '--save-every', '-3'), /--save-every\n/],
    ['too far a rotation', train('--run', 'a', '--augment-rotate', '60'), /--augment-rotate\n/],
    ['a cut of all of it', train('--run', 'a', '--augment-crop', '1'), /--augment-crop\n/],
    ['-1 image threads', train('--run', 'a', '--image-threads', '-1'), /--image-threads\n/],
    [
      'a start for a training that goes on',
      train('--run', built, '--init-from', 'a', '--resume'),
      /^a training that goes on has its tensors already\n.*--init-from/,
    ],
    [
      'a start from what is no run',
      train('--run', built, '--init-from', 'none'),
      /^the run has no checkpoint\n.*--init-from none/,
    ],
    [
      'a question length for a finished run',
      train('--run', built, '--max-question-tokens', '128'),
      /^--run names a finished graph, --max-question-tokens would build another/,
    ],
    ['unknown measure', train('--run', 'a', '--best-by', 'f1'), /Choices: "accuracy", "loss"/],
    [
      'stopping early without validating',
      train('--run', built, '--early-stopping', '2', '--eval-every', '0'),
      /^nothing is evaluated\n.*--early-stopping\n/,
    ],
    [
      'weight decay of nothing',
      train('--run', built, '--no-decay', '**.none'),
      /^'\*\*\.none' matches no trained tensor\n.*--no-decay\n.*such as /,
    ],
    [
      'unknown data',
      train('--run', built, '--data', 'other'),
      /^unknown data set 'other'\n.*--data\n.*choose from vqa-rad/,
    ],
    ['unknown split', train('--run', 'a', '--split', 'half'), /"official"\|"image"/],
    ['evaluating a run that is missing', ['ort-eval', ['--run', 'none']], /^not a run folder/],
    ['0 beams', ['ort-eval', ['--run', built, '--beams', '0']], /^0 beams\n.*--beams\n.*1 to 8/],
    ['9 beams', ['ort-eval', ['--run', built, '--beams', '9']], /^9 beams/],
    ['limit 0', ['ort-eval', ['--run', built, '--limit', '0']], /--limit\n/],
    ['no thread', ['ort-eval', ['--run', built, '--threads', '0']], /--threads\n/],
    [
      'a required flag misspelt',
      ['ort-answer', ['--image', 'x.png', '--queston', 'where?']],
      /^Unknown argument: queston\n/,
    ],
    ['no question', ['ort-answer', ['--image', 'x.png']], /^Missing required argument: question/],
    [
      'an empty question',
      ['ort-answer', ['--run', built, '--image', 'x.png', '--question', ' ']],
      /^the question is empty/,
    ],
    [
      'a missing image',
      ['ort-answer', ['--run', built, '--image', 'x.png', '--question', 'why?']],
      /^image file not found\n.*x\.png/,
    ],
    [
      'no checkpoint',
      ['ort-answer', ['--run', built, '--image', image, '--question', 'why?', '--checkpoint', 'best']],
      /^no such checkpoint\n.*best\.safetensors\n.*ort-train/,
    ],
  ];
  test.each(cases)('%s', (_, [bin, flags], message) => expectMessage(bin, flags, message));
});
