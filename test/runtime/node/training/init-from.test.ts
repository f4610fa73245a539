/** @file A second training that starts from the tensors of a first one. */
import { createHash } from 'node:crypto';
import { readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { writeReport } from '../../../../runtime/node/training/report.js';
import {
  checkpointPath,
  initialTensors,
  readCheckpoint,
  readCheckpointState,
} from '../../../../training-artifacts/checkpoint/checkpoint.js';
import { emitVariant } from '../../../../training-artifacts/graphs/emit.js';
import { readManifest } from '../../../../training-artifacts/graphs/manifest.js';
import { mergeRun } from '../../../../training-artifacts/graphs/merge.js';
import { metricsOf, tinyBuild } from '../runs.js';
import { build, copyOf, expectSameTraining, folder, train } from './support.js';

let first: string;
beforeAll(async () => {
  first = build();
  await train(first, { maxSteps: 4, options: { saveEvery: 2, keep: 2 } });
});

/** A run like `first` that nobody has trained. */
const second = () => {
  const run = copyOf(first);
  renameSync(join(run, 'checkpoint'), join(run, 'old'));
  return run;
};

const losses = (run: string) => metricsOf(run).map(({ loss }) => loss as number);

test('starts with the tensors that the other one ended with', async () => {
  const own = second();
  const events = await train(own, { maxSteps: 1, options: { initFrom: first, lr: 1e-12, weightDecay: 0 } });
  const manifest = readManifest(own);
  const { tensors: started } = readCheckpoint(own, 'last', manifest);
  const { tensors: ended } = readCheckpoint(first, 'last', manifest);
  const base = initialTensors(own, manifest);
  let moved = 0;
  for (const [name, { value }] of started) {
    value.forEach((v, i) => {
      expect(Math.abs(v - ended.get(name)!.value[i]!)).toBeLessThan(1e-9);
      moved = Math.max(moved, Math.abs(v - base.get(name)!.value[i]!));
    });
  }
  expect(moved).toBeGreaterThan(1e-3);
  expect(events.find((e) => e.type === 'start')!.notes.join('\n')).toContain('starts from');
  expect(losses(own)[0]).not.toBe(losses(first)[0]);
});

test('of a named checkpoint; the file is recorded in the checkpoints and the report', async () => {
  const own = second();
  await train(own, { maxSteps: 1, options: { initFrom: `${first}:step-000002` } });
  const bytes = readFileSync(checkpointPath(first, 'step-000002'));
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  expect(readCheckpointState(own, 'last').options).toMatchObject({
    initFrom: `${first}:step-000002`,
    initSha256: sha256,
  });
  const report = readFileSync(await writeReport(own, { finished: false, early: false }), 'utf8');
  expect(report).toContain(sha256);
});

test('a resumed second stage does not need the first any more, and gives the same numbers', async () => {
  const [whole, own] = [second(), second()];
  const source = copyOf(first);
  await train(whole, { options: { initFrom: source, epochs: 1 } });
  await train(own, { options: { initFrom: source, epochs: 1 }, interruptAt: 2 });
  renameSync(source, `${source}-gone`);
  await train(own, { resume: true });
  expectSameTraining(own, whole);
});

test.each([
  ['another method', { variant: 'ia3' }, 'it trains other tensors'],
  ['another alpha', { alpha: 8 }, 'it trains other tensors'],
])('%s: an error that says what to do', async (_, other, message) => {
  const run = join(folder, `other-${_.replaceAll(' ', '-')}`);
  emitVariant({ ...tinyBuild, ...other }, run);
  await expect(train(run, { maxSteps: 1, options: { initFrom: first } })).rejects.toThrow(message);
});

test('other base weights are an error', async () => {
  const run = join(folder, 'other-base');
  emitVariant({ ...tinyBuild, seed: 5 }, run);
  await expect(train(run, { maxSteps: 1, options: { initFrom: first } })).rejects.toThrow(
    'other base weights',
  );
});

test('a run without a checkpoint, and a checkpoint that is not there', async () => {
  const options = (initFrom: string) => ({ maxSteps: 1, options: { initFrom } });
  await expect(train(second(), options(build()))).rejects.toThrow('has no checkpoint');
  await expect(train(second(), options(`${first}:step-000009`))).rejects.toThrow('choose from last');
});

test('what the error says works: a run folded into weights is a base for another variant', async () => {
  const merged = join(folder, 'stage1');
  mergeRun(first, merged);
  const run = join(folder, 'on-stage1');
  emitVariant({ ...tinyBuild, variant: 'ia3', weights: join(merged, 'model.safetensors') }, run);
  const events = await train(run, { maxSteps: 1 });
  expect(events.find((e) => e.type === 'step')!.loss).toBeGreaterThan(0);
});
