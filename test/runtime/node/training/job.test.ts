/** @file Training runs that are stopped, killed and resumed, against ones that were left alone. */
import { appendFileSync, cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import type { TrainOptions } from '../../../../runtime/node/training/options.js';
import type { TrainingEvent } from '../../../../runtime/node/training/events.js';
import { runTraining } from '../../../../runtime/node/training/job.js';
import {
  checkpointPath,
  hasCheckpoint,
  initialTensors,
  readCheckpoint,
} from '../../../../training-artifacts/checkpoint/checkpoint.js';
import { emitVariant } from '../../../../training-artifacts/graphs/emit.js';
import { readManifest } from '../../../../training-artifacts/graphs/manifest.js';
import { metricsOf, runProgram, start, temporaryFolder, tinyBuild, tinyTraining } from '../runs.js';

const folder = temporaryFolder();
const built = join(folder, 'built');
let copies = 0;

/** A fresh copy of a run. */
function copyOf(run: string): string {
  const copy = join(folder, `copy${++copies}`);
  cpSync(run, copy, { recursive: true });
  return copy;
}

async function train(
  run: string,
  given: { maxSteps?: number; resume?: boolean; options?: Partial<TrainOptions> } = {},
): Promise<TrainingEvent[]> {
  const events: TrainingEvent[] = [];
  const { maxSteps, resume = false, options } = given;
  const job = { run, resume, options: { ...tinyTraining, ...options }, ...(maxSteps && { maxSteps }) };
  await runTraining(
    job,
    (e) => events.push(e),
    async () => false,
  );
  return events;
}

/** Trained tensors and moments as bytes, with the step that they are of. */
function finalState(run: string) {
  const { tensors, state } = readCheckpoint(run, 'last', readManifest(run));
  const { options: _, environment: __, ...counts } = state;
  const bits = [...tensors].map(([name, t]) => [
    name,
    ...[t.value, t.expAvg, t.expAvgSq].map((data) => Buffer.from(data.buffer).toString('base64')),
  ]);
  return { counts, bits: JSON.stringify(bits) };
}

/** Bit by bit the same training; the message names what differs, not the megabytes. */
function expectSameTraining(run: string, reference: string): void {
  expect(metricsOf(run)).toEqual(metricsOf(reference));
  const [own, other] = [finalState(run), finalState(reference)];
  expect(own.counts).toEqual(other.counts);
  expect(own.bits === other.bits, 'tensors and moments').toBe(true);
  expect(readdirSync(join(run, 'checkpoint')).filter((name) => name.endsWith('.tmp'))).toEqual([]);
}

let whole = '';
beforeAll(async () => {
  emitVariant(tinyBuild, built);
  whole = copyOf(built);
  await train(whole);
});

describe('in one process', () => {
  test('an uninterrupted run logs every step and moves every tensor', () => {
    const metrics = metricsOf(whole);
    expect(metrics.map((m) => m.step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(metrics.map((m) => m.epoch)).toEqual([0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
    const manifest = readManifest(whole);
    const start = initialTensors(whole, manifest);
    for (const [name, { value }] of readCheckpoint(whole, 'last', manifest).tensors)
      expect(value, name).not.toEqual(start.get(name)!.value);
    expect(finalState(whole).counts).toMatchObject({ step: 10, batches: 10, best: null });
  });

  test.each([1, 5, 7])('stopped after step %i and resumed, it is bit-identical', async (maxSteps) => {
    const run = copyOf(built);
    const first = await train(run, { maxSteps });
    expect(first.at(-1)).toEqual({ type: 'end', step: maxSteps, stopped: true });
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

  test('what a kill left half-written is swept away', async () => {
    const run = copyOf(built);
    await train(run, { maxSteps: 2 });
    writeFileSync(`${checkpointPath(run, 'last')}.0badf00d.tmp`, 'half');
    await train(run, { resume: true });
    expectSameTraining(run, whole);
  });

  test('training again from the start forgets the checkpoints of the training before', async () => {
    const run = copyOf(built);
    await train(run, { maxSteps: 1, options: { lr: 0.1 } });
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

  test('a resumed run says what differs from the machine before', async () => {
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

  test('a loss that is not finite ends the run with the questions and a remedy', async () => {
    const run = copyOf(built);
    await expect(train(run, { options: { lr: 1e30 } })).rejects.toThrow(
      /is (NaN|not finite|-?Infinity) at step \d+\n {2}where: questions .*\n {2}to do: lower --lr/,
    );
  });

  test('resuming without a checkpoint is refused', async () => {
    await expect(train(copyOf(built), { resume: true })).rejects.toThrow(
      'there is no checkpoint to resume from',
    );
  });
});

test('two builds of one variant are byte-identical', () => {
  const again = join(folder, 'again');
  emitVariant(tinyBuild, again);
  const names = readdirSync(built).sort();
  expect(readdirSync(again).sort()).toEqual(names);
  expect(names).toContain('manifest.json');
  for (const name of names)
    expect(readFileSync(join(again, name)).equals(readFileSync(join(built, name))), name).toBe(true);
});

describe('as a process', () => {
  const flags = (run: string) => [
    ...['--run', run, '--limit', '40', '--batch-size', '8', '--epochs', '8', '--lr', '1e-3'],
    ...['--eval-every', '0', '--threads', '1'],
  ];
  const log = (run: string) => join(run, 'log', 'metrics.jsonl');
  const stepsOf = (run: string) =>
    existsSync(log(run)) ? readFileSync(log(run), 'utf8').split('\n').length - 1 : 0;

  /** Waits for a state of the run while the program lives. */
  async function until(reached: () => boolean): Promise<void> {
    for (const end = performance.now() + 30_000; !reached(); await setTimeout(3))
      if (performance.now() > end) throw new Error('waited 30 s');
  }
  /** The trainer that a program forked. */
  const trainerOf = (pid: number): number =>
    Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]);
  const lives = (pid: number) => existsSync(`/proc/${pid}`);

  let reference = '';
  beforeAll(async () => {
    reference = copyOf(built);
    const { code, stderr } = await runProgram('ort-train', flags(reference), folder);
    expect(code, stderr).toBe(0);
    expect(metricsOf(reference)).toHaveLength(40);
  });

  // Linux: the test finds the trainer in /proc
  test.runIf(process.platform === 'linux')(
    'kill -9 of the trainer at any moment, then --resume: the same tensors',
    async () => {
      const run = copyOf(built);
      let resume: string[] = [];
      for (const steps of [3, 9, 18]) {
        const { child, ended } = start('ort-train', [...flags(run), ...resume], folder);
        await until(() => stepsOf(run) >= steps);
        await setTimeout(30 * Math.random());
        process.kill(trainerOf(child.pid!), 'SIGKILL');
        const { code, stderr } = await ended;
        expect(code).toBe(2);
        expect(stderr).toContain('the training process was ended by SIGKILL');
        expect(stderr).toContain('--resume');
        expect(stderr).not.toContain('    at ');
        if (hasCheckpoint(run)) resume = ['--resume'];
      }
      expect(resume).toEqual(['--resume']);
      const { code, stderr } = await runProgram('ort-train', [...flags(run), '--resume'], folder);
      expect(code, stderr).toBe(0);
      expectSameTraining(run, reference);
    },
  );

  test.runIf(process.platform === 'linux')('kill -9 of the program ends its trainer too', async () => {
    const run = copyOf(built);
    const { child, ended } = start('ort-train', flags(run), folder);
    await until(() => stepsOf(run) >= 7);
    const trainer = trainerOf(child.pid!);
    child.kill('SIGKILL');
    await ended;
    await until(() => !lives(trainer));
    expect(stepsOf(run)).toBeLessThan(40);
    expect((await runProgram('ort-train', [...flags(run), '--resume'], folder)).code).toBe(0);
    expectSameTraining(run, reference);
  });

  test.each(['SIGINT', 'SIGTERM'] as const)(
    '%s once: a checkpoint after the step, to be resumed',
    async (signal) => {
      const run = copyOf(built);
      const { child, ended, said } = start('ort-train', flags(run), folder);
      await until(() => stepsOf(run) >= 2);
      child.kill(signal);
      const { code, stdout, stderr } = await ended;
      expect(stderr).toMatch(/saving after this step \(about \d+ s\); Ctrl-C again ends at once/);
      expect(code, said()).toBe(0);
      expect(stdout).toContain(', stopped');
      expect(stdout).toContain(`go on: ort-train --run ${run} --resume`);
      const { batches } = finalState(run).counts;
      expect(batches).toBeLessThan(40);
      expect(stepsOf(run)).toBe(batches);
      if (signal === 'SIGTERM') return; // seen with SIGINT
      expect((await runProgram('ort-train', [...flags(run), '--resume'], folder)).code).toBe(0);
      expectSameTraining(run, reference);
    },
  );

  test('Ctrl-C twice: the end at once, with the last checkpoint named', async () => {
    const run = copyOf(built);
    await train(run, { maxSteps: 1, options: { epochs: 400 } });
    const { child, ended, said } = start('ort-train', ['--run', run, '--resume'], folder);
    await until(() => stepsOf(run) >= 3);
    process.kill(trainerOf(child.pid!), 'SIGSTOP'); // a step that takes long
    child.kill('SIGINT');
    await until(() => said().includes('saving after this step'));
    child.kill('SIGINT');
    const { code, stderr } = await ended;
    expect(code).toBe(2);
    expect(stderr).toContain('the training was ended at once');
    expect(stderr).toContain(`the last checkpoint is ${checkpointPath(run, 'last')}`);
    expect(finalState(run).counts).toMatchObject({ batches: 1 });
  });
});
