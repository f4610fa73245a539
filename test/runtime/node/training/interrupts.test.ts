/** @file Ctrl-C and SIGTERM: a checkpoint after the step and the exit code of shells; twice, the end at once. */
import { beforeAll, expect, test } from 'vitest';
import { checkpointPath } from '../../../../training-artifacts/checkpoint/checkpoint.js';
import { runProgram, start } from '../runs.js';
import {
  build,
  copyOf,
  expectSameTraining,
  folder,
  programFlags,
  programOptions,
  stateOf,
  stepsOf,
  train,
  trainerOf,
  until,
} from './support.js';

let built = '';
let reference = '';
beforeAll(async () => {
  built = build();
  reference = copyOf(built);
  const { keep: _, ...options } = programOptions; // an interrupt adds a checkpoint of its own
  await train(reference, { options });
});
const flags = (run: string) => programFlags(run, 0);

test('Ctrl-C once: a checkpoint after the step, exit code 130, to be resumed', async () => {
  const run = copyOf(built);
  const { child, ended, said } = start('ort-train', flags(run), folder);
  await until(() => stepsOf(run) >= 2);
  child.kill('SIGINT');
  const { code, stdout, stderr } = await ended;
  expect(stderr).toMatch(/saving after this step \(about \d+ s\); Ctrl-C again ends at once/);
  expect(code, said()).toBe(130);
  expect(stdout).toContain(', stopped');
  expect(stdout).toContain(`report ${run}/report.md`);
  expect(stdout).toContain(`go on: ort-train --run ${run} --resume`);
  const { batches } = stateOf(run).counts;
  expect(batches).toBeLessThan(40);
  expect(stepsOf(run)).toBe(batches);
  expect((await runProgram('ort-train', ['--run', run, '--resume'], folder)).code).toBe(0);
  expectSameTraining(run, reference);
});

test('SIGTERM: the same with 143, and in JSON that it has not finished', async () => {
  const run = copyOf(built);
  const { child, ended, said } = start('ort-train', [...flags(run), '--json'], folder);
  await until(() => stepsOf(run) >= 2);
  child.kill('SIGTERM');
  const { code, stdout } = await ended;
  expect(code, said()).toBe(143);
  const summary = JSON.parse(stdout) as Record<string, unknown>;
  const { batches } = stateOf(run).counts;
  expect(summary).toMatchObject({ finished: false, early: false, interruptedBy: 'SIGTERM', steps: batches });
});

test('--max-steps is an end that was wanted: exit code 0', async () => {
  const run = copyOf(built);
  const { code, stdout } = await runProgram('ort-train', [...flags(run), '--max-steps', '2'], folder);
  expect(code).toBe(0);
  expect(stdout).toContain('2 steps in');
  expect(stdout).toContain('go on: ');
});

test.runIf(process.platform === 'linux')(
  'Ctrl-C twice: the end at once, with the last checkpoint named',
  async () => {
    const run = copyOf(built);
    await train(run, { maxSteps: 1, options: { epochs: 400 } });
    const { child, ended, said } = start('ort-train', ['--run', run, '--resume'], folder);
    await until(() => stepsOf(run) >= 3);
    process.kill(trainerOf(child.pid!)!, 'SIGSTOP'); // a step that takes long
    child.kill('SIGINT');
    await until(() => said().includes('saving after this step'));
    child.kill('SIGINT');
    const { code, stderr } = await ended;
    expect(code).toBe(2);
    expect(stderr).toContain('the training was ended at once');
    expect(stderr).toContain(`the last checkpoint is ${checkpointPath(run, 'last')}`);
  },
);
