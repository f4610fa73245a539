/** @file What a training run will need, measured on a few steps before it starts. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { UserError } from '../../../graph-builder/errors.js';
import { writeJson } from '../../../training-artifacts/files.js';
import { readAnyManifest, weightsPath } from '../../../training-artifacts/graphs/manifest.js';
import { watchMemory } from '../memory.js';
import { trainInChild } from './in-child.js';
import type { MemoryForm } from './memory-form.js';
import type { TrainOptions } from './options.js';

/**
 * Steps of a measurement: memory grows over the first ones, with each new length of texts and until garbage is
 * collected. Slow steps are cut short. The first, which loads and plans, is not timed.
 */
const STEPS = { least: 3, most: 40, seconds: 20 };

export interface Quote {
  readonly batchSize: number;
  readonly accumulate: number;
  readonly weightsInMemory: MemoryForm;
  readonly secondsPerStep: number;
  /** largest proportional set size of the training process */
  readonly peakBytes: number;
  readonly stepsPerEpoch: number;
  readonly secondsPerEpoch: number;
  /** all epochs, validation not counted */
  readonly secondsTotal: number;
  /** of one checkpoint */
  readonly checkpointBytes: number;
}

interface Measurement {
  readonly batchSize: number;
  readonly secondsPerBatch: number;
  readonly peakBytes: number;
  readonly samples: number;
  readonly weightsInMemory: MemoryForm;
}

/** A folder with the run's graphs, on the same weights: what is trained there is thrown away. */
function scratchCopy(run: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-quote-'));
  const manifest = readAnyManifest(run);
  for (const { file } of Object.values(manifest.graphs)) cpSync(join(run, file), join(folder, file));
  const weights = { ...manifest.weights, folder: dirname(weightsPath(run, manifest)) };
  writeJson(join(folder, 'manifest.json'), { ...manifest, weights });
  return folder;
}

/** A few real steps at a batch size. */
async function measure(run: string, options: TrainOptions, batchSize: number): Promise<Measurement> {
  const folder = scratchCopy(run);
  try {
    const seconds: number[] = [];
    let [samples, weightsInMemory] = [0, 'packed' as MemoryForm];
    const steps = {
      ...options,
      batchSize,
      accumulate: 1,
      evalEvery: 0,
      evalEverySteps: 0,
      earlyStopping: 0,
      saveEvery: 0,
      keep: 0,
      epochs: STEPS.most,
    };
    const job = { run: folder, options: steps, resume: false, maxSteps: STEPS.most };
    const training = trainInChild(job, (event) => {
      if (event.type === 'start') ({ samples, weightsInMemory } = event);
      if (event.type === 'step') seconds.push(batchSize / event.samplesPerSecond);
      const spent = seconds.reduce((a, b) => a + b, 0);
      if (seconds.length >= STEPS.least && spent > STEPS.seconds) training.stop();
    });
    const memory = watchMemory(training.pid);
    await training.finished;
    const timed = seconds.slice(1);
    const mean = timed.reduce((a, b) => a + b, 0) / timed.length;
    return { batchSize, secondsPerBatch: mean, peakBytes: memory.stop(), samples, weightsInMemory };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function quoteFor(m: Measurement, accumulate: number, options: TrainOptions, trainable: number): Quote {
  const stepsPerEpoch = Math.ceil(m.samples / (m.batchSize * accumulate));
  const secondsPerStep = m.secondsPerBatch * accumulate;
  return {
    batchSize: m.batchSize,
    accumulate,
    weightsInMemory: m.weightsInMemory,
    secondsPerStep,
    peakBytes: m.peakBytes,
    stepsPerEpoch,
    secondsPerEpoch: secondsPerStep * stepsPerEpoch,
    secondsTotal: secondsPerStep * stepsPerEpoch * options.epochs,
    checkpointBytes: 3 * 4 * trainable,
  };
}

/**
 * Memory and time of a run with these options; with a limit, of the largest batch that stays below it, the update
 * kept as large by accumulation.
 *
 * Memory grows linearly with the batch: two small batches are measured, the one that is chosen is measured again.
 *
 * @throws {UserError} when not even a batch of one fits.
 */
export async function quoteTraining(run: string, options: TrainOptions, limitBytes?: number): Promise<Quote> {
  const { trainable } = readAnyManifest(run).parameters;
  const whole = options.batchSize;
  const asked = await chooseMemory(run, options, whole, limitBytes);
  const accumulate = (whole * options.accumulate) / asked.batchSize;
  return quoteFor(asked, accumulate, options, trainable);
}

/** Weights as the training chooses as long as a batch of one fits, else the mapped file. */
async function chooseMemory(
  run: string,
  options: TrainOptions,
  whole: number,
  limitBytes: number | undefined,
): Promise<Measurement> {
  try {
    return await chooseBatch(run, options, whole, limitBytes);
  } catch (error) {
    const isTooLarge = error instanceof UserError && error.where === '--memory-gb';
    if (!isTooLarge || options.weightsInMemory !== 'auto') throw error;
    return chooseBatch(run, { ...options, weightsInMemory: 'mapped' }, whole, limitBytes);
  }
}

async function chooseBatch(
  run: string,
  options: TrainOptions,
  whole: number,
  limitBytes: number | undefined,
): Promise<Measurement> {
  if (limitBytes === undefined) return measure(run, options, whole);
  const one = await measure(run, options, 1);
  if (one.peakBytes > limitBytes) {
    const needed = (one.peakBytes / 1e9).toFixed(2);
    throw new UserError(
      `a batch of one needs ${needed} GB`,
      '--memory-gb',
      'build the run with --recompute blocks, choose a smaller placement or preset, or allow more',
    );
  }
  if (whole === 1) return one;
  const few = await measure(run, options, Math.min(whole, 4));
  const perSample = Math.max((few.peakBytes - one.peakBytes) / (few.batchSize - 1), 1);
  const fits = Math.floor(1 + (limitBytes - one.peakBytes) / perSample);
  // divisors of the batch: accumulated they make exactly the update that was asked for
  const divisors = Array.from({ length: whole }, (_, i) => whole - i).filter(
    (n) => whole % n === 0 && n <= fits,
  );
  for (const batchSize of divisors.filter((n) => n > 1)) {
    const found = await measure(run, options, batchSize);
    if (found.peakBytes <= limitBytes) return found;
  }
  return one;
}
