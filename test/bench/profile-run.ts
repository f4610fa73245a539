/** @file Where the training step of a run spends its time, operator by operator. */
import { dirname, join } from 'node:path';
import { UserError } from '../../graph-builder/errors.js';
import { adamWDefaults } from '../../runtime/core/adamw.js';
import { INITIAL_LOSS_SCALE, Trainer } from '../../runtime/core/trainer.js';
import { openSession } from '../../runtime/node/ort.js';
import { memoryForm } from '../../runtime/node/training/memory-form.js';
import { trainDefaults } from '../../runtime/node/training/options.js';
import { VqaTask } from '../../runtime/node/training/vqa-task.js';
import { initialTensors } from '../../training-artifacts/checkpoint/checkpoint.js';
import { graphFiles, readManifest, weightsPath } from '../../training-artifacts/graphs/manifest.js';
import { profiled } from './profile.js';
import type { Section } from './table.js';

export interface RunToProfile {
  readonly run: string;
  readonly batchSize: number;
  readonly questionsPerImage: number;
  readonly cut: 'none' | 'vit' | 'kv';
  readonly threads: number;
}

/** The first step warms up; all are in the profile. */
const STEPS = 4;
const ENOUGH = 16;

/**
 * Trains a few steps on VQA-RAD as ort-train does, with ONNX Runtime's profiler.
 *
 * @throws {UserError} when the run has no such cut.
 */
export async function profileRun({ run, threads, ...given }: RunToProfile): Promise<Section> {
  const manifest = readManifest(run);
  const { batchSize, questionsPerImage, cut } = given;
  const limit = questionsPerImage === 1 ? ENOUGH * batchSize : null;
  const options = { ...trainDefaults, ...given, evalEvery: 0, limit, threads };
  const task = await VqaTask.open(run, manifest, options);
  await task.load(() => {});
  if (cut !== 'none' && task.role === 'training')
    throw new UserError(
      `the run has no cut '${cut}'`,
      '--cut',
      'leave it out, or build a run with F modules',
    );
  const { variant } = manifest;
  const title = `${manifest.preset} ${variant.name}, ${graphFiles[task.role]}, batch ${batchSize}`;
  return profiled(title, STEPS, async (profilePrefix) => {
    const session = await openSession(join(run, graphFiles[task.role]), {
      weightsFolder: dirname(weightsPath(run, manifest)),
      prepacking: memoryForm(manifest, task.role, options) === 'packed',
      ...{ threads, profilePrefix },
    });
    const { weightDecay, clip } = options;
    const settings = { ...adamWDefaults, weightDecay, clip };
    const state = { step: 0, lossScale: INITIAL_LOSS_SCALE };
    const trainer = new Trainer(session, initialTensors(run, manifest), settings, state);
    // a batch's features lie in buffers that the next one fills
    for (let i = 0; i < STEPS; i++) await trainer.step((await task.batch(0, i)).microBatches, 1e-6);
    await session.release();
    await task.close();
  });
}
