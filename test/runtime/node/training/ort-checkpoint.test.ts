/** @file A training that goes on from the official format's checkpoint, and the quote before one. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { runTraining } from '../../../../runtime/node/training/job.js';
import type { Quote } from '../../../../runtime/node/training/quote.js';
import { readCheckpoint } from '../../../../training-artifacts/checkpoint/checkpoint.js';
import { readManifest, weightsPath } from '../../../../training-artifacts/graphs/manifest.js';
import { planVariant } from '../../../../training-artifacts/graphs/plan.js';
import { writeOrtTraining } from '../../../../training-artifacts/ort-training/write.js';
import { expectMessage, metricsOf, runProgram, temporaryFolder, tinyBuild, tinyTraining } from '../runs.js';
import { build, copyOf, stateOf, train } from './support.js';

describe('--ort-checkpoint', () => {
  const stopped = build();
  const official = join(temporaryFolder(), 'ort-training');
  beforeAll(async () => {
    await train(stopped, { maxSteps: 5 });
    const manifest = readManifest(stopped);
    const { tensors, state } = readCheckpoint(stopped, 'last', manifest);
    const moments = new Map([...tensors].map(([n, t]) => [n, [t.expAvg, t.expAvgSq] as const]));
    writeOrtTraining(official, {
      forward: planVariant(tinyBuild).adapted,
      weights: weightsPath(stopped, manifest),
      trained: tensors,
      optimizer: { step: state.step, moments },
    });
  });

  test('goes on to the tensors and losses of an own checkpoint', async () => {
    const [own, other] = [copyOf(stopped), copyOf(stopped)];
    await train(own, { resume: true });
    const job = {
      run: other,
      resume: true,
      options: tinyTraining,
      ortCheckpoint: join(official, 'checkpoint'),
    };
    await runTraining(
      job,
      () => {},
      async () => false,
    );
    expect(metricsOf(other)).toEqual(metricsOf(own));
    expect(stateOf(other).bits === stateOf(own).bits).toBe(true);
  });

  test('a file that is none is refused, and the run is left alone', async () => {
    const bad = join(temporaryFolder(), 'checkpoint');
    writeFileSync(bad, 'no checkpoint at all');
    const run = copyOf(stopped);
    await expectMessage('ort-train', ['--run', run, '--ort-checkpoint', bad], /checkpoint/);
    expect(stateOf(run)).toEqual(stateOf(stopped));
  });
});

describe('the quote', () => {
  const ask = (run: string, ...flags: string[]) => [
    ...[
      '--run',
      run,
      '--dry-run',
      '--json',
      '--batch-size',
      '8',
      '--epochs',
      '2',
      '--limit',
      '40',
      '--threads',
      '1',
    ],
    ...flags,
  ];

  test('counts steps and leaves the run as it is', async () => {
    const run = build();
    const { code, stdout } = await runProgram('ort-train', ask(run), run);
    expect(code).toBe(0);
    const quote = JSON.parse(stdout) as Quote;
    expect(quote).toMatchObject({ batchSize: 8, accumulate: 1, stepsPerEpoch: 5, weightsInMemory: 'packed' });
    expect(quote.secondsTotal).toBeCloseTo(2 * 5 * quote.secondsPerStep, 6);
    expect(quote.checkpointBytes).toBe(12 * readManifest(run).parameters.trainable);
    if (process.platform === 'linux') expect(quote.peakBytes).toBeGreaterThan(3e7);
    expect([existsSync(join(run, 'checkpoint')), existsSync(join(run, 'log'))]).toEqual([false, false]);
  });

  test.runIf(process.platform === 'linux')('a limit that nothing fits says what to do', async () => {
    const run = build();
    const { code, stderr } = await runProgram('ort-train', ask(run, '--memory-gb', '0.001'), run);
    expect(code).toBe(2);
    expect(stderr).toMatch(/a batch of one needs .* GB\n.*--memory-gb\n.*--recompute/);
  });

  test.runIf(process.platform === 'linux')('a wide limit keeps the batch', async () => {
    const run = build();
    const { stdout } = await runProgram('ort-train', ask(run, '--memory-gb', '10'), run);
    expect(JSON.parse(stdout)).toMatchObject({ batchSize: 8, accumulate: 1 });
  });
});
