/** @file Training runs that are stopped and resumed, against ones that were left alone. */
import { appendFileSync, cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  checkpointPath,
  hasCheckpoint,
  initialTensors,
  readCheckpoint,
} from '../../../../training-artifacts/checkpoint/checkpoint.js';
import { readManifest } from '../../../../training-artifacts/graphs/manifest.js';
import { metricsOf } from '../runs.js';
import { build, copyOf, expectSameTraining, stateOf, train } from './support.js';

let built = '';
let whole = '';
beforeAll(async () => {
  built = build();
  whole = copyOf(built);
  await train(whole);
});

test('an uninterrupted run logs every step and moves every tensor', () => {
  const metrics = metricsOf(whole);
  expect(metrics.map((m) => m.step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(metrics.map((m) => m.epoch)).toEqual([0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
  const manifest = readManifest(whole);
  const start = initialTensors(whole, manifest);
  for (const [name, { value }] of readCheckpoint(whole, 'last', manifest).tensors)
    expect(value, name).not.toEqual(start.get(name)!.value);
  expect(stateOf(whole).counts).toMatchObject({ step: 10, batches: 10, best: null });
});

describe('resuming', () => {
  test.each([1, 5, 7])('stopped after step %i and resumed, it is bit-identical', async (maxSteps) => {
    const run = copyOf(built);
    const first = await train(run, { maxSteps });
    expect(first.at(-1)).toEqual({ type: 'end', step: maxSteps, stopped: true, early: false });
    // the saved options count, not those given with --resume
    const second = await train(run, { resume: true, options: { lr: 1, seed: 99, batchSize: 3 } });
    expect(second.find((e) => e.type === 'start')).toMatchObject({ step: maxSteps, steps: 10, notes: [] });
    expectSameTraining(run, whole);
  });

  test('stopped and resumed at every step, with accumulation and runs of one image', async () => {
    const options = { accumulate: 2, batchSize: 4, questionsPerImage: 3, augment: true, limit: 20 };
    const [run, reference] = [copyOf(built), copyOf(built)];
    await train(reference, { options });
    await train(run, { options, maxSteps: 1 });
    for (let step = 2; step <= 6; step++) await train(run, { resume: true, maxSteps: step });
    expectSameTraining(run, reference);
  });

  test('lines beyond the checkpoint and half a line are cut from the log', async () => {
    const run = copyOf(built);
    await train(run, { maxSteps: 4 });
    const log = join(run, 'log', 'metrics.jsonl');
    const last = readFileSync(log, 'utf8').trimEnd().split('\n').at(-1)!;
    appendFileSync(log, `${last.replace('"step":4', '"step":5')}\n${last.slice(0, 40)}`);
    await train(run, { resume: true });
    expectSameTraining(run, whole);
  });

  test('what a kill left half-written is swept away, and nothing else', async () => {
    const run = copyOf(built);
    await train(run, { maxSteps: 2 });
    const half = [checkpointPath(run, 'last'), join(run, 'log', 'curves.svg'), join(run, 'report.md')];
    for (const file of half) writeFileSync(`${file}.0badf00d.tmp`, 'half');
    writeFileSync(join(run, 'notes.tmp'), 'mine');
    await train(run, { resume: true });
    expect(readdirSync(run)).toContain('notes.tmp');
    const names = readdirSync(run, { recursive: true }).map(String);
    expect(names.filter((name) => name.endsWith('.0badf00d.tmp'))).toEqual([]);
  });

  test('a run that has ended stays as it is', async () => {
    const run = copyOf(whole);
    const events = await train(run, { resume: true });
    expect(events.map((e) => e.type).filter((type) => type !== 'loading')).toEqual(['start', 'end']);
    expect(events.at(-1)).toEqual({ type: 'end', step: 10, stopped: false, early: false });
    expectSameTraining(run, whole);
  });

  test('it says what differs from the machine before', async () => {
    const run = copyOf(built);
    await train(run, { maxSteps: 1 });
    const file = checkpointPath(run, 'last');
    const bytes = readFileSync(file);
    const at = bytes.indexOf('\\"threads\\":\\"1\\"') + '\\"threads\\":\\"'.length;
    bytes[at] = '7'.charCodeAt(0);
    writeFileSync(file, bytes);
    const events = await train(run, { resume: true, maxSteps: 2 });
    const start = events.find((e) => e.type === 'start');
    expect(start).toMatchObject({ notes: [expect.stringMatching(/^threads was 7, is 1: /)] });
  });

  test('without a checkpoint it is refused', async () => {
    await expect(train(copyOf(built), { resume: true })).rejects.toThrow(
      'there is no checkpoint to resume from',
    );
  });

  test('options of another version are refused with what to do', async () => {
    const run = copyOf(built);
    await train(run, { maxSteps: 1 });
    const file = checkpointPath(run, 'last');
    writeFileSync(
      file,
      readFileSync(file, 'latin1').replace('loraPlusRatio', 'loraMinusRatio'.slice(0, 13)),
      'latin1',
    );
    await expect(train(run, { resume: true })).rejects.toThrow(
      /^its training options do not fit: .*\n {2}where: .*last\.safetensors\n {2}to do: .*--overwrite/,
    );
  });
});

describe('from the start', () => {
  test('the checkpoints of the training before are forgotten', async () => {
    const run = copyOf(built);
    await train(run, { maxSteps: 1, options: { lr: 0.1, keep: 1 } });
    cpSync(checkpointPath(run, 'last'), checkpointPath(run, 'best'));
    await train(run);
    expect(hasCheckpoint(run, 'best')).toBe(false);
    expectSameTraining(run, whole);
  });

  test('another seed gives another order and other losses', async () => {
    const run = copyOf(built);
    await train(run, { maxSteps: 2, options: { seed: 1 } });
    const losses = (of: string) => metricsOf(of).map((m) => m.loss);
    expect(losses(run)).not.toEqual(losses(whole).slice(0, 2));
  });
});

describe('numbers that are not finite', () => {
  test('end the run with step, samples, the tensor or the loss, and a remedy', async () => {
    const run = copyOf(built);
    await expect(train(run, { options: { lr: 1e30 } })).rejects.toThrow(
      /^(the loss is (NaN|-?Infinity)|a gradient is not finite, that of \S+) at step 2\n {2}where: samples 1\d+, .*\n {2}to do: lower --lr; there is no checkpoint yet/,
    );
  });

  test('the checkpoint before is kept, and named', async () => {
    const run = copyOf(built);
    const options = { lr: 1e30, saveEvery: 1, warmupSteps: 10 ** 9, keep: 3 };
    // the rate rises by 1e21 a step: some step is the first that breaks
    const error = await train(run, { options: { ...options, epochs: 100 } }).catch((e: Error) => e);
    expect(error).toBeInstanceOf(Error);
    const [, kept] = /the checkpoint of step (\d+) is kept|the checkpoint before is kept/.exec(
      (error as Error).message,
    )!;
    if (kept) expect(stateOf(run).counts.batches).toBe(Number(kept));
    expect(stateOf(run).counts.batches).toBeGreaterThan(0);
  });
});

test('two builds of one variant are byte-identical', () => {
  const again = build();
  const names = readdirSync(built).sort();
  expect(readdirSync(again).sort()).toEqual(names);
  expect(names).toContain('manifest.json');
  for (const name of names)
    expect(readFileSync(join(again, name)).equals(readFileSync(join(built, name))), name).toBe(true);
});

describe('--no-decay', () => {
  test('spares what it names: the two trainings differ there and only there after a step', async () => {
    const [all, spared] = [copyOf(built), copyOf(built)];
    const options = { weightDecay: 10 };
    await train(all, { maxSteps: 1, options });
    await train(spared, { maxSteps: 1, options: { ...options, noDecay: '**.bias, **norm**' } });
    const manifest = readManifest(all);
    const [a, b] = [all, spared].map((run) => readCheckpoint(run, 'last', manifest).tensors);
    const differing = [...a!].filter(
      ([name, t]) => !Buffer.from(t.value.buffer).equals(Buffer.from(b!.get(name)!.value.buffer)),
    );
    const names = differing.map(([name]) => name);
    expect(names).toContain('visual_encoder.norm.weight');
    for (const name of a!.keys()) {
      const named = /\.bias$|norm/.test(name);
      const started = initialTensors(all, manifest)
        .get(name)!
        .value.some((v) => v !== 0);
      expect(names.includes(name), name).toBe(named && started); // of 0 nothing decays
    }
  });

  test('names that are no tensor are refused', async () => {
    await expect(train(copyOf(built), { options: { noDecay: '**.biass' } })).rejects.toThrow(
      /^'\*\*\.biass' matches no trained tensor\n {2}where: --no-decay\n {2}to do: match names such as \S+, \S+, or leave it out$/,
    );
  });
});
