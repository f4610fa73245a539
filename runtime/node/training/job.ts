/** @file A training run from its folder to its last checkpoint. Runs in a process of its own. */
import { join } from 'node:path';
import { UserError } from '../../../graph-builder/errors.js';
import {
  type CheckpointState,
  hasCheckpoint,
  type TrainedTensor,
  writeCheckpoint,
} from '../../../training-artifacts/checkpoint/checkpoint.js';
import {
  clearCheckpoints,
  pruneCheckpoints,
  stepName,
  sweepTemporary,
} from '../../../training-artifacts/checkpoint/checkpoint-files.js';
import { isImported, readAnyManifest } from '../../../training-artifacts/graphs/manifest.js';
import { adamWDefaults } from '../../core/adamw.js';
import type { StepTrainer } from '../../core/device-trainer.js';
import { learningRate } from '../../core/schedule.js';
import { NonFiniteError, type TrainerOptions } from '../../core/trainer.js';
import { chooseDevice } from '../devices/choose-device.js';
import { copiedBytes } from '../devices/copied-bytes.js';
import { type Device, isCuda, parseDevice } from '../devices/device.js';
import { type OpenedTrainer, openTrainer } from '../devices/open-trainer.js';
import { ArraysTask } from './arrays-task.js';
import type { EvaluationEvent, StepEvent, TrainingEvent, TrainingJob } from './events.js';
import { logFolder, RunLog } from './log.js';
import { memoryForm } from './memory-form.js';
import type { TrainOptions } from './options.js';
import { type Restored, restore } from './restore.js';
import type { TaskBatch, TrainingTask } from './task.js';
import { checkValidation, isEvaluationDue, isStale, judge } from './validation.js';
import { VqaTask } from './vqa-task.js';
import { withoutDecay } from './weight-decay.js';

/** Bytes of gradients that are worth a word. */
const MUCH = 1e8;

type AnyManifest = ReturnType<typeof readAnyManifest>;

const openTask = async (run: string, manifest: AnyManifest, options: TrainOptions): Promise<TrainingTask> =>
  isImported(manifest) ? new ArraysTask(manifest, options) : VqaTask.open(run, manifest, options);

class Job {
  private readonly options: TrainOptions;
  private readonly tensors: Map<string, TrainedTensor>;
  private state: CheckpointState;
  private readonly notes: string[];
  private readonly stepsPerEpoch: number;
  private readonly total: number;
  /** batches at the last checkpoint, or -1 */
  private saved: number;
  private log!: RunLog;
  private trainer: StepTrainer | undefined;

  static async open(job: TrainingJob, report: (event: TrainingEvent) => void): Promise<Job> {
    const manifest = readAnyManifest(job.run);
    const restored = restore(job, manifest);
    const { options } = restored;
    const task = await openTask(job.run, manifest, options);
    return new Job(job, report, manifest, restored, task);
  }

  private constructor(
    private readonly job: TrainingJob,
    private readonly report: (event: TrainingEvent) => void,
    private readonly manifest: AnyManifest,
    restored: Restored,
    private readonly task: TrainingTask,
  ) {
    this.tensors = restored.tensors;
    this.state = restored.state;
    this.notes = [...restored.notes];
    this.options = restored.options;
    const { batchSize, accumulate, epochs } = this.options;
    checkValidation(this.task.measures, this.options);
    this.stepsPerEpoch = Math.ceil(this.task.size / (batchSize * accumulate));
    this.total = this.stepsPerEpoch * epochs;
    this.saved = job.resume ? this.state.batches : -1;
  }

  /** Trains until the last epoch, the last useful evaluation, `maxSteps` or `shouldStop`. */
  async run(shouldStop: () => Promise<boolean>): Promise<void> {
    const { maxSteps = Number.POSITIVE_INFINITY } = this.job;
    const { trainer, release } = await this.start();
    this.trainer = trainer;
    await this.evaluateIfDue(); // the base; or what an interrupt left out
    let asked = false;
    while (!this.isOver() && !asked) {
      await this.step(trainer);
      const interrupted = await shouldStop();
      // an interrupt promises a checkpoint after the step: its evaluation is left to the resumed run
      if (!interrupted) await this.evaluateIfDue();
      asked = interrupted || this.state.batches >= maxSteps;
      if (this.isSaveDue()) await this.save();
    }
    if (this.saved !== this.state.batches) await this.save();
    await release();
    await this.task.close?.();
    const { batches } = this.state;
    const stopped = !this.isOver() || this.isEvaluationPending();
    this.report({ type: 'end', step: batches, stopped, early: !stopped && batches < this.total });
  }

  /** Loads what the training needs; only then touches what an earlier training left. */
  private async start(): Promise<OpenedTrainer> {
    const { run, resume } = this.job;
    const options = this.trainerOptions();
    await this.task.load((what, done, total) => this.report({ type: 'loading', what, done, total }));
    const device = await this.chooseDevice();
    const environment = { ...this.state.environment, device };
    const weightsInMemory = memoryForm(this.manifest, this.task.role, this.options);
    const settled = { ...this.task.settled, device, weightsInMemory };
    this.state = { ...this.state, options: { ...this.options, ...settled }, environment };
    const { step, batches, lossScale } = this.state;
    const opened = await openTrainer({
      run,
      manifest: this.manifest,
      role: this.task.role,
      device,
      ...(this.options.threads && { threads: this.options.threads }),
      prepacking: weightsInMemory === 'packed',
      tensors: this.tensors,
      options,
      state: { step, lossScale },
    });
    for (const folder of [run, logFolder(run)]) sweepTemporary(folder);
    clearCheckpoints(run, resume); // before the log: a kill between them leaves nothing that could be resumed
    this.log = new RunLog(run, resume ? this.state.batches : -1);
    this.report({
      type: 'start',
      step: batches,
      steps: this.total,
      stepsPerEpoch: this.stepsPerEpoch,
      samples: this.task.size,
      weightsInMemory,
      notes: [...this.notes, ...this.task.notes],
    });
    return opened;
  }

  /** The device that the options name; `auto` compares them on the first batch. */
  private async chooseDevice(): Promise<Device> {
    let device = parseDevice(this.options.device);
    if (device === 'auto') {
      const { microBatches } = await this.task.batch(0, 0);
      const { threads } = this.options;
      const trial = { run: this.job.run, role: this.task.role, feeds: microBatches[0]! };
      const chosen = await chooseDevice({ ...trial, ...(threads && { threads }) });
      this.notes.push(chosen.note);
      device = chosen.device;
    }
    const copied =
      4 * this.manifest.trainable.reduce((n, { shape }) => n + shape.reduce((p, d) => p * d, 1), 0);
    if (device === 'cpu' && copied > MUCH)
      this.notes.push(
        `${(copied / 1e6).toFixed(0)} MB of gradients are copied out of ONNX Runtime at each step`,
      );
    if (isCuda(device)) {
      const { toDevice } = copiedBytes(this.manifest, device);
      this.notes.push(`${(toDevice / 1e6).toFixed(1)} MB go to the card and back at each step`);
    }
    const { device: before = device } = this.state.environment;
    if (this.job.resume && before !== device)
      this.notes.push(`device was ${before}, is ${device}: losses may differ by 1e-4`);
    return device;
  }

  private trainerOptions(): TrainerOptions {
    const { weightDecay, noDecay, clip, loraPlusRatio } = this.options;
    const spared = withoutDecay(noDecay, [...this.tensors.keys()]);
    const rateOf = (name: string) => (name.endsWith('.lora_B.weight') ? loraPlusRatio : 1);
    const decayOf = (name: string) => (spared.has(name) ? 0 : 1);
    return { ...adamWDefaults, weightDecay, clip, rateOf, decayOf };
  }

  private isOver(): boolean {
    return this.state.batches >= this.total || isStale(this.state, this.options);
  }

  private isEvaluationPending(): boolean {
    const { batches, evaluated } = this.state;
    return evaluated < batches && isEvaluationDue(batches, this.options, this.stepsPerEpoch, this.total);
  }

  /** After epochs and the steps that the options say; evaluations save by themselves. */
  private isSaveDue(): boolean {
    const { batches } = this.state;
    const { saveEvery } = this.options;
    if (this.saved === batches) return false;
    return batches % this.stepsPerEpoch === 0 || (saveEvery > 0 && batches % saveEvery === 0);
  }

  private async step(trainer: StepTrainer): Promise<void> {
    const { batches } = this.state;
    const epoch = Math.floor(batches / this.stepsPerEpoch);
    const started = performance.now();
    const batch = await this.task.batch(epoch, batches % this.stepsPerEpoch);
    const lr = learningRate(batches, this.stepsPerEpoch, this.options);
    const result = await this.update(trainer, batch, lr);
    const seconds = (performance.now() - started) / 1000;
    const { step, lossScale } = trainer.state;
    this.state = { ...this.state, step, lossScale, batches: batches + 1 };
    const event: StepEvent = {
      type: 'step',
      step: this.state.batches,
      epoch,
      loss: result.loss,
      tokenLoss: result.loss / batch.units,
      lr,
      gradientNorm: result.gradientNorm,
      samplesPerSecond: batch.ids.length / seconds,
      lossScale,
      ...(batch.waitMs !== undefined && { waitMs: batch.waitMs }),
    };
    this.report(this.log.append(event, seconds));
  }

  /** @throws {UserError} naming step and samples when the loss or a gradient is not finite. */
  private async update(trainer: StepTrainer, { microBatches, ids }: TaskBatch, lr: number) {
    try {
      return await trainer.step(microBatches, lr);
    } catch (error) {
      if (!(error instanceof NonFiniteError)) throw error;
      throw new UserError(
        `${error.message} at step ${this.state.batches + 1}`,
        `samples ${ids.join(', ')}`,
        `lower --lr; ${this.saved > 0 ? `the checkpoint of step ${this.saved} is kept` : 'there is no checkpoint yet'}`,
      );
    }
  }

  /** Validates and saves, as an evaluation takes longer than a checkpoint; that of the best so far is kept. */
  private async evaluateIfDue(): Promise<void> {
    if (!this.isEvaluationPending()) return;
    const { batches, best } = this.state;
    const started = performance.now();
    await this.trainer?.readBack?.();
    const scores = await this.task.evaluate(this.tensors);
    const seconds = (performance.now() - started) / 1000;
    if (!scores && this.options.earlyStopping > 0)
      throw new UserError('there is no validation question', '--early-stopping', 'leave it out');
    const epoch = batches / this.stepsPerEpoch;
    const event: EvaluationEvent | undefined = scores && {
      type: 'evaluation',
      step: batches,
      epoch,
      ...scores,
    };
    this.state = { ...this.state, ...judge(this.state, scores, this.options.bestBy) };
    if (event) this.report(this.log.append(event, seconds));
    if (batches > 0) await this.save(this.state.best !== best);
  }

  /** Under all its names: the step's, perhaps best, and last, without which nothing is resumed, at the end. */
  private async save(best = false): Promise<void> {
    await this.trainer?.readBack?.();
    const { run } = this.job;
    const { keep } = this.options;
    const { batches } = this.state;
    const names = [...(keep > 0 ? [stepName(batches)] : []), ...(best ? ['best'] : []), 'last'];
    writeCheckpoint(run, names, this.tensors, this.state);
    pruneCheckpoints(run, keep);
    this.saved = batches;
    this.report({ type: 'saved', step: batches, path: join(run, 'checkpoint') });
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
  if (job.resume && !job.ortCheckpoint && !hasCheckpoint(job.run)) {
    throw new UserError('there is no checkpoint to resume from', job.run, 'leave --resume out');
  }
  await (await Job.open(job, report)).run(shouldStop);
}
