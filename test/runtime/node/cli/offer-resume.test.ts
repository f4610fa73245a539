/** @file The question whether to go on: what counts as an answer. */
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { confirm, offerResume } from '../../../../runtime/node/cli/offer-resume.js';

function terminal(typed: string) {
  const input = new PassThrough();
  const output = new PassThrough();
  let shown = '';
  output.on('data', (chunk) => {
    shown += chunk;
  });
  input.end(typed);
  return { streams: { input, output }, shown: () => shown };
}

test.each([
  ['y\n', true, 1],
  ['Yes\n', true, 1],
  ['n\n', false, 1],
  [' no \n', false, 1],
  ['perhaps\n\ny\n', true, 1], // typed ahead
  ['', false, 1], // the end of the input
])('%j is %s', async (typed, expected, asked) => {
  const { streams, shown } = terminal(typed);
  expect(await confirm('go on? ', streams)).toBe(expected);
  expect(shown().split('go on? ')).toHaveLength(asked + 1);
});

// vitest's workers have no terminal
test.skipIf(process.stdin.isTTY)('with nobody to ask, both ways are named', async () => {
  await expect(offerResume('runs/a')).rejects.toThrow(
    /^the run has a checkpoint already\n {2}where: runs\/a\n {2}to do: add --resume to go on, or --overwrite/,
  );
});
