/** @file A training run from its folder to its last checkpoint. Runs in a process of its own. */
import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../../graph-builder/errors.js';
import {
  type CheckpointState,
  clearCheckpoints,
  hasCheckpoint,
  type TrainedTensor,
  writeCheckpoint,
} from '../../../training-artifacts/checkpoint/checkpoint.js';
import { asFileError } from '../../../training-artifacts/files.js';
import {
  isImported,
  readAnyManifest,
  type TrainableRun,
} from '../../../training-artifacts/graphs/manifest.js';
import { adamWDefaults } from '../../core/adamw.js';
import { learningRate } from '../../core/schedule.js';
import { NonFiniteError, Trainer, type TrainerOptions } from '../../core/trainer.js';
import { openGraph } from '../inference.js';
import { ArraysTask } from './arrays-task.js';
import type { EvaluationEvent, StepEvent, TrainingEvent, TrainingJob } from './events.js';
import type { TrainOptions } from './options.js';
import { cutMetrics, metricsPath, restore } from './restore.js';
import type { TaskBatch, TrainingTask } from './task.js';
import { VqaTask } from './vqa-task.js';

class Job {
  private readonly manifest: TrainableRun;
  private readonly options: TrainOptions;
  private readonly tensors: Map<string, TrainedTensor>;
  private state: CheckpointState;
  private readonly notes: readonly string[];
  private readonly task: TrainingTask;
  private readonly stepsPerEpoch: number;

  constructor(
    private readonly job: TrainingJob,
    private readonly report: (event: TrainingEvent) => void,
  ) {
    const manifest = readAnyManifest(job.run);
    this.manifest = manifest;
    const restored = restore(job, manifest);
    this.tensors = restored.tensors;
    this.state = restored.state;
    this.options = restored.options;
    this.task = isImported(manifest)
      ? new ArraysTask(manifest, this.options)
      : new VqaTask(job.run, manifest, this.options);
    this.notes = [...restored.notes, ...this.task.notes];
    this.stepsPerEpoch = Math.ceil(this.task.size / (this.options.batchSize * this.options.accumulate));
  }

  /** Trains until the last epoch, `maxSteps` or `shouldStop`. */
  async run(shouldStop: () => Promise<boolean>): Promise<void> {
    const { run, resume, maxSteps = Number.POSITIVE_INFINITY } = this.job;
    await this.task.load((what, done, total) => this.report({ type: 'loading', what, done, total }));
    mkdirSync(join(run, 'log'), { recursive: true });
    cutMetrics(run, resume ? this.state.batches : -1);
    const session = await openGraph(run, this.manifest, 'training', this.options.threads ?? undefined);
    clearCheckpoints(run, resume);
    const { step, lossScale } = this.state;
    const trainer = new Trainer(session, this.tensors, this.trainerOptions(), { step, lossScale });
    const total = this.stepsPerEpoch * this.options.epochs;
    this.report({
      type: 'start',
      step: this.state.batches,
      steps: total,
      stepsPerEpoch: this.stepsPerEpoch,
      samples: this.task.size,
      notes: this.notes,
    });
    if (!resume) await this.evaluate(0);
    let stopped = false;
    while (this.state.batches < total && !stopped) {
      await this.step(trainer);
      stopped = (await shouldStop()) || this.state.batches >= maxSteps;
      if (this.state.batches % this.stepsPerEpoch === 0) await this.endEpoch(this.state.batches === total);
    }
    if (this.state.batches % this.stepsPerEpoch !== 0) this.save();
    await session.release();
    this.report({ type: 'end', step: this.state.batches, stopped: this.state.batches < total });
  }

  private trainerOptions(): TrainerOptions {
    const { weightDecay, clip, loraPlusRatio } = this.options;
    const rateOf = (name: string) => (name.endsWith('.lora_B.weight') ? loraPlusRatio : 1);
    return { ...adamWDefaults, weightDecay, clip, rateOf };
  }

  private async step(trainer: Trainer): Promise<void> {
    const { batches } = this.state;
    const epoch = Math.floor(batches / this.stepsPerEpoch);
    const batch = this.task.batch(epoch, batches % this.stepsPerEpoch);
    const lr = learningRate(batches, this.stepsPerEpoch, this.options);
    const started = performance.now();
    const result = await this.update(trainer, batch, lr);
    const seconds = (performance.now() - started) / 1000;
    const { step, lossScale } = trainer.state;
    this.state = { ...this.state, step, lossScale, batches: batches + 1 };
    this.log({
      type: 'step',
      step: this.state.batches,
      epoch,
      loss: result.loss,
      tokenLoss: result.loss / batch.units,
      lr,
      gradientNorm: result.gradientNorm,
      samplesPerSecond: batch.ids.length / seconds,
      lossScale,
    });
  }

  /** @throws {UserError} naming step and samples when the loss or a gradient is not finite. */
  private async update(trainer: Trainer, { microBatches, ids }: TaskBatch, lr: number) {
    try {
      return await trainer.step(microBatches, lr);
    } catch (error) {
      if (!(error instanceof NonFiniteError)) throw error;
      throw new UserError(
        `${error.message} at step ${this.state.batches + 1}`,
        `samples ${ids.join(', ')}`,
        'lower --lr; the last checkpoint is kept',
      );
    }
  }

  private async endEpoch(last: boolean): Promise<void> {
    const epoch = this.state.batches / this.stepsPerEpoch;
    const { evalEvery } = this.options;
    if (evalEvery > 0 && (last || epoch % evalEvery === 0)) await this.evaluate(epoch);
    this.save();
  }

  /** Validation accuracy; the best so far is kept. At step 0 it is the base's, which only the log keeps. */
  private async evaluate(epoch: number): Promise<void> {
    if (this.options.evalEvery === 0) return;
    const scores = await this.task.evaluate(this.tensors);
    if (!scores) return;
    this.log({ type: 'evaluation', step: this.state.batches, epoch, ...scores });
    const { best } = this.state;
    if (epoch > 0 && (!best || scores.accuracy > best.accuracy)) {
      this.state = { ...this.state, best: { step: this.state.batches, accuracy: scores.accuracy } };
      writeCheckpoint(this.job.run, 'best', this.tensors, this.state);
    }
  }

  private save(): void {
    writeCheckpoint(this.job.run, 'last', this.tensors, this.state);
    this.report({ type: 'saved', step: this.state.batches, path: join(this.job.run, 'checkpoint') });
  }

  private log(event: StepEvent | EvaluationEvent): void {
    const file = metricsPath(this.job.run);
    try {
      appendFileSync(file, `${JSON.stringify(event)}\n`);
    } catch (error) {
      throw asFileError(error, file, 'write');
    }
    this.report(event);
  }
}

/**
 * Trains a run.
 *
 * @param shouldStop asked after each step; true saves a checkpoint and ends.
 * @throws {UserError} for input that does not fit, a loss that is not finite, a full disk.
 */
export async function runTraining(
  job: TrainingJob,
  report: (event: TrainingEvent) => void,
  shouldStop: () => Promise<boolean>,
): Promise<void> {
  if (job.resume && !hasCheckpoint(job.run)) {
    throw new UserError('there is no checkpoint to resume from', job.run, 'leave --resume out');
  }
  await new Job(job, report).run(shouldStop);
}
