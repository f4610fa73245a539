/** @file The self-test of a machine: ten training steps of a tiny drawn model, whose losses ship with the package. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { packageRoot } from '../../../datasets/package-root.js';
import { readJson } from '../../../datasets/read-json.js';
import { presetConfig } from '../../../graph-builder/models/config.js';
import { emitVariant } from '../../../training-artifacts/graphs/emit.js';
import type { BuildOptions } from '../../../training-artifacts/graphs/plan.js';
import { batchFeeds, type Sample, seedFeeds } from '../../core/batch.js';
import type { Feeds } from '../../core/session.js';
import { lossProblem } from './choose-device.js';
import type { Device } from './device.js';
import type { MeasureJob } from './measure.js';
import { isFailure, measureInChild } from './measure-in-child.js';

const PRESET = 'miss-tiny';
const SEED = 7;
export const STEPS = 10;

const sizes = {
  imageSize: 32,
  patchSize: 16,
  hidden: 32,
  intermediate: 64,
  visionLayers: 1,
  visionHeads: 2,
  textLayers: 1,
  textHeads: 2,
  vocab: 128,
} as const;

/** A trained image encoder, LoRA in both text modules and dropout: every kind of gradient. */
const build: BuildOptions = {
  preset: PRESET,
  sizes,
  variant: 'lora-r4',
  placement: 'T/P/P',
  weights: 'random',
  seed: SEED,
};

/** A batch made of whole numbers, the same on every machine. */
function selfTestFeeds(): Feeds {
  const config = { ...presetConfig(PRESET), ...sizes };
  const ids = (count: number, first: number) =>
    Array.from({ length: count }, (_, i) => (first + 37 * i) % 128);
  const samples = Array.from(
    { length: 6 },
    (_, i): Sample => ({
      qid: `question ${i}`,
      imageId: `image ${i >> 1}`,
      questionIds: ids(3 + i, 5 + 11 * i),
      answerIds: ids(3 + (i % 3), 9 + 7 * i),
    }),
  );
  const pixels = (imageId: string) => {
    const shift = imageId.charCodeAt(imageId.length - 1);
    return Float32Array.from(
      { length: 3 * sizes.imageSize ** 2 },
      (_, i) => ((i * (shift + 3)) % 255) / 128 - 1,
    );
  };
  const feeds = batchFeeds(samples, pixels, config);
  return { ...feeds, ...seedFeeds(samples, feeds, [SEED, 0]) };
}

export const lossesFile = (): string => join(packageRoot(), 'runtime', 'node', 'devices', 'self-test.json');

export const lossesSchema = z.strictObject({
  /** of the CPU trainer, one a step */
  losses: z.array(z.number()).length(STEPS),
});

export interface SelfTest {
  readonly device: Device;
  readonly result: 'pass' | 'fail' | 'unavailable';
  readonly msPerStep: number | null;
  /** building graphs and compiling shaders included */
  readonly firstStepMs: number | null;
  readonly problem: string | null;
  readonly remedy: string | null;
}

/** Builds the tiny run, uses it and removes it. */
export async function withSelfTest<T>(use: (job: Omit<MeasureJob, 'device'>) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-doctor-'));
  try {
    const run = join(folder, 'run');
    emitVariant(build, run);
    return await use({ run, role: 'training', feeds: selfTestFeeds(), steps: STEPS, lr: 1e-2 });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const none = { msPerStep: null, firstStepMs: null };

async function testDevice(
  device: Device,
  job: Omit<MeasureJob, 'device'>,
  expected: readonly number[],
): Promise<SelfTest> {
  const outcome = await measureInChild({ ...job, device });
  if (isFailure(outcome)) {
    const { what, remedy } = outcome;
    return { device, ...none, result: device === 'cpu' ? 'fail' : 'unavailable', problem: what, remedy };
  }
  const { msPerStep, firstStepMs, losses } = outcome;
  const problem = lossProblem(losses, expected);
  const remedy = problem && 'do not train on this device: update its driver, or report it';
  return { device, result: problem ? 'fail' : 'pass', msPerStep, firstStepMs, problem, remedy };
}

/** Each device in a process of its own. @throws {FileError} when the stored losses are missing. */
export async function selfTest(devices: readonly Device[]): Promise<SelfTest[]> {
  const { losses } = readJson(lossesFile(), lossesSchema, 'reinstall the package');
  return withSelfTest(async (job) => {
    const results: SelfTest[] = [];
    for (const device of devices) results.push(await testDevice(device, job, losses));
    return results;
  });
}
