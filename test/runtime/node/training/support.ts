/** @file A small run, trained in this process or by the program, and when two trainings are the same. */
import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { expect } from 'vitest';
import type { TrainingEvent } from '../../../../runtime/node/training/events.js';
import { runTraining } from '../../../../runtime/node/training/job.js';
import type { TrainOptions } from '../../../../runtime/node/training/options.js';
import { readCheckpoint } from '../../../../training-artifacts/checkpoint/checkpoint.js';
import { listCheckpoints } from '../../../../training-artifacts/checkpoint/checkpoint-files.js';
import { emitVariant } from '../../../../training-artifacts/graphs/emit.js';
import { readManifest } from '../../../../training-artifacts/graphs/manifest.js';
import { metricsOf, temporaryFolder, tinyBuild, tinyTraining } from '../runs.js';

export const folder = temporaryFolder();
let copies = 0;

/** A run of {@link tinyBuild} that nobody has trained. */
export function build(): string {
  const run = join(folder, `built${++copies}`);
  emitVariant(tinyBuild, run);
  return run;
}

/** A fresh copy of a run. */
export function copyOf(run: string): string {
  const copy = join(folder, `copy${++copies}`);
  cpSync(run, copy, { recursive: true });
  return copy;
}

export interface Training {
  readonly maxSteps?: number;
  /** a signal arrives while this step is made */
  readonly interruptAt?: number;
  readonly resume?: boolean;
  readonly options?: Partial<TrainOptions>;
}

/** Trains in this process. */
export async function train(run: string, given: Training = {}): Promise<TrainingEvent[]> {
  const events: TrainingEvent[] = [];
  const { maxSteps, interruptAt, resume = false, options } = given;
  const job = { run, resume, options: { ...tinyTraining, ...options }, ...(maxSteps && { maxSteps }) };
  let step = 0;
  const report = (event: TrainingEvent) => {
    events.push(event);
    if (event.type === 'step') step = event.step;
  };
  await runTraining(job, report, async () => step === interruptAt);
  return events;
}

/** Trained tensors and moments as bytes, with the state that they are of. */
export function stateOf(run: string, name = 'last') {
  const { tensors, state } = readCheckpoint(run, name, readManifest(run));
  const { options: _, environment: __, ...counts } = state;
  const bits = [...tensors].map(([tensor, t]) => [
    tensor,
    ...[t.value, t.expAvg, t.expAvgSq].map((data) => Buffer.from(data.buffer).toString('base64')),
  ]);
  return { counts, bits: JSON.stringify(bits) };
}

/** Names of temporary files in the folders that training writes to. */
export const leftovers = (run: string): string[] =>
  ['.', 'checkpoint', 'log', 'adapter']
    .flatMap((of) => (existsSync(join(run, of)) ? readdirSync(join(run, of)) : []))
    .filter((name) => name.endsWith('.tmp'));

/** Bit by bit the same training; the message names what differs, not the megabytes. */
export function expectSameTraining(run: string, reference: string): void {
  expect(metricsOf(run)).toEqual(metricsOf(reference));
  expect(listCheckpoints(run)).toEqual(listCheckpoints(reference));
  for (const name of listCheckpoints(reference)) {
    const [own, other] = [stateOf(run, name), stateOf(reference, name)];
    expect(own.counts, name).toEqual(other.counts);
    expect(own.bits === other.bits, `tensors and moments of ${name}`).toBe(true);
  }
  expect(leftovers(run)).toEqual([]);
}

/** 40 steps, a checkpoint at every third and after every fifth. */
export const programOptions: Partial<TrainOptions> = { epochs: 8, saveEvery: 3, keep: 2 };
export const programFlags = (run: string, keep = 2): string[] => [
  ...['--run', run, '--limit', '40', '--batch-size', '8', '--epochs', '8', '--lr', '1e-3'],
  ...['--eval-every', '0', '--threads', '1', '--save-every', '3', '--keep', `${keep}`],
];

/** Whole lines of a log that may be written to just now. */
export function stepsOf(run: string): number {
  const log = join(run, 'log', 'metrics.jsonl');
  return existsSync(log) ? readFileSync(log, 'utf8').split('\n').length - 1 : 0;
}

/** Waits for a state of the run while the program lives. */
export async function until(reached: () => boolean, seconds = 30): Promise<void> {
  for (const end = performance.now() + 1000 * seconds; !reached(); await setTimeout(3))
    if (performance.now() > end) throw new Error(`waited ${seconds} s`);
}

/** The trainer that a program forked, if it has. Linux only: it is found in /proc. */
export function trainerOf(pid: number): number | undefined {
  try {
    return (
      Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]) || undefined
    );
  } catch {
    return undefined;
  }
}

/** Whether a process is there and not just a name that waits to be taken away. */
export function lives(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
