/** @file A training run from its folder to its last checkpoint. Runs in a process of its own. */
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { Question } from '../../datasets/dataset.js';
import { loadTokenizer } from '../../datasets/load-tokenizer.js';
import { isSameAnswer, isYesNo } from '../../datasets/scoring/normalise-answer.js';
import { UserError } from '../../graph-builder/errors.js';
import {
  type CheckpointState,
  clearCheckpoints,
  hasCheckpoint,
  initialTensors,
  readCheckpoint,
  type TrainedTensor,
  writeCheckpoint,
} from '../../training-artifacts/checkpoint/checkpoint.js';
import { asFileError, writeAtomic } from '../../training-artifacts/files.js';
import { type Manifest, readManifest } from '../../training-artifacts/graphs/manifest.js';
import { adamWDefaults } from '../core/adamw.js';
import { Answerer, type InferenceSessions } from '../core/answerer.js';
import { batchFeeds, labelCount, type Sample, seedFeeds } from '../core/batch.js';
import { predict } from '../core/predict.js';
import { epochOrder } from '../core/sampler.js';
import { learningRate } from '../core/schedule.js';
import type { Feeds } from '../core/session.js';
import { INITIAL_LOSS_SCALE, NonFiniteError, Trainer, type TrainerOptions } from '../core/trainer.js';
import { imagePaths, type LoadedData, loadData, tokenise } from './data.js';
import { ImageStore } from './images.js';
import { openGraph, openInference, servingFeeds } from './inference.js';
import { runtimeVersion } from './ort.js';
import { type TrainOptions, trainOptionsSchema } from './train-options.js';

/** What a run tells while it works. */
export type TrainingEvent =
  | { readonly type: 'loading'; readonly what: string; readonly done: number; readonly total: number }
  | {
      readonly type: 'start';
      readonly step: number;
      readonly steps: number;
      readonly stepsPerEpoch: number;
      readonly questions: number;
      readonly notes: readonly string[];
    }
  | StepEvent
  | EvaluationEvent
  | { readonly type: 'saved'; readonly step: number; readonly path: string }
  | { readonly type: 'end'; readonly step: number; readonly stopped: boolean };

export interface StepEvent {
  readonly type: 'step';
  readonly step: number;
  readonly epoch: number;
  /** summed over answer tokens, averaged over the batch, as the paper's curves */
  readonly loss: number;
  /** nats an answer token */
  readonly tokenLoss: number;
  readonly lr: number;
  readonly gradientNorm: number;
  readonly samplesPerSecond: number;
  readonly lossScale: number;
}

export interface EvaluationEvent {
  readonly type: 'evaluation';
  readonly step: number;
  readonly epoch: number;
  readonly n: number;
  /** exact match, all validation questions */
  readonly accuracy: number;
  /** of those answered yes or no, and of the rest */
  readonly yesNo: number;
  readonly notYesNo: number;
}

export interface TrainingJob {
  readonly run: string;
  readonly options: TrainOptions;
  readonly resume: boolean;
  /** stops after this update, as if interrupted */
  readonly maxSteps?: number;
}

const AUGMENTATION = { shift: 8, brightness: 0.15 };

const metricsPath = (run: string): string => join(run, 'log', 'metrics.jsonl');

/** Lines of the log up to a step: what a killed run wrote after its checkpoint is dropped. */
function cutMetrics(run: string, step: number): void {
  const file = metricsPath(run);
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  const kept = lines.filter((line) => {
    try {
      return (JSON.parse(line) as { step: number }).step <= step;
    } catch {
      return false; // a line cut short by the kill
    }
  });
  writeAtomic(file, kept.map((line) => `${line}\n`).join(''));
}

function environmentOf(options: TrainOptions): Record<string, string> {
  return {
    onnxruntime: runtimeVersion(),
    cpu: cpus()[0]?.model ?? 'unknown',
    threads: String(options.threads ?? `${cpus().length} cores, default`),
  };
}

interface Restored {
  readonly tensors: Map<string, TrainedTensor>;
  readonly state: CheckpointState;
  readonly options: TrainOptions;
  readonly notes: string[];
}

function restore({ run, options, resume }: TrainingJob, manifest: Manifest): Restored {
  if (!resume) {
    const environment = environmentOf(options);
    const state = { step: 0, batches: 0, lossScale: INITIAL_LOSS_SCALE, best: null, options, environment };
    return { tensors: initialTensors(run, manifest), state, options, notes: [] };
  }
  const { tensors, state } = readCheckpoint(run, 'last', manifest);
  const saved = trainOptionsSchema.parse(state.options);
  const now = environmentOf(saved);
  const notes = Object.keys(now)
    .filter((key) => now[key] !== state.environment[key])
    .map(
      (key) => `${key} was ${state.environment[key]}, is ${now[key]}: losses may differ in the last digits`,
    );
  return { tensors, state: { ...state, environment: now }, options: saved, notes };
}

/** Validation questions answered by beam search. */
class Validation {
  private sessions: InferenceSessions | undefined;

  constructor(
    private readonly run: string,
    private readonly manifest: Manifest,
    private readonly options: TrainOptions,
    private readonly questions: readonly Question[],
    private readonly images: ImageStore,
  ) {}

  async evaluate(
    tensors: ReadonlyMap<string, TrainedTensor>,
  ): Promise<Omit<EvaluationEvent, 'type' | 'step' | 'epoch'>> {
    this.sessions ??= await openInference(this.run, this.manifest, this.options.threads ?? undefined);
    const { config } = this.manifest;
    const tokenizer = loadTokenizer();
    const answerer = new Answerer(this.sessions, config, servingFeeds(tensors, this.manifest));
    const { samples } = tokenise(this.questions, this.manifest, tokenizer);
    const predictions = await predict(answerer, samples, (id) => this.images.pixelValues(id), { tokenizer });
    const right = this.questions.map((q, i) => isSameAnswer(q.answer, predictions[i]!.answer));
    const share = (keep: (q: Question) => boolean) => {
      const kept = right.filter((_, i) => keep(this.questions[i]!));
      return kept.filter(Boolean).length / kept.length;
    };
    return {
      n: right.length,
      accuracy: share(() => true),
      yesNo: share((q) => isYesNo(q.answer)),
      notYesNo: share((q) => !isYesNo(q.answer)),
    };
  }
}

class Job {
  private readonly manifest: Manifest;
  private readonly options: TrainOptions;
  private readonly tensors: Map<string, TrainedTensor>;
  private state: CheckpointState;
  private readonly notes: string[];
  private readonly data: LoadedData;
  private readonly samples: readonly Sample[];
  private readonly images: ImageStore;
  private readonly validation: Validation;
  private readonly stepsPerEpoch: number;

  constructor(
    private readonly job: TrainingJob,
    private readonly report: (event: TrainingEvent) => void,
  ) {
    this.manifest = readManifest(job.run);
    const restored = restore(job, this.manifest);
    this.tensors = restored.tensors;
    this.state = restored.state;
    this.options = restored.options;
    this.notes = restored.notes;
    this.data = loadData(this.options);
    const train = this.data.train.slice(0, this.options.limit ?? undefined);
    if (train.length === 0)
      throw new UserError('there is no training question', '--data', 'choose another data set or split');
    const { samples, truncated } = tokenise(train, this.manifest);
    if (truncated.questions + truncated.answers > 0) {
      this.notes.push(
        `${truncated.questions} questions and ${truncated.answers} answers were cut to the token limits`,
      );
    }
    this.samples = samples;
    this.images = new ImageStore(this.manifest.config.imageSize, this.manifest.image.normalisation);
    this.validation = new Validation(job.run, this.manifest, this.options, this.data.validation, this.images);
    this.stepsPerEpoch = Math.ceil(samples.length / (this.options.batchSize * this.options.accumulate));
  }

  /** Trains until the last epoch, `maxSteps` or `shouldStop`. */
  async run(shouldStop: () => Promise<boolean>): Promise<void> {
    const { run, resume, maxSteps = Number.POSITIVE_INFINITY } = this.job;
    await this.loadImages();
    mkdirSync(join(run, 'log'), { recursive: true });
    cutMetrics(run, resume ? this.state.step : -1);
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
      questions: this.samples.length,
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

  private async loadImages(): Promise<void> {
    const { dataset } = this.data;
    const validation = this.options.evalEvery > 0 ? this.data.validation : [];
    const paths = new Map(this.samples.map(({ imageId }) => [imageId, dataset.imagePath(imageId)]));
    for (const [id, path] of imagePaths(dataset, validation)) paths.set(id, path);
    let done = 0;
    await this.images.load(paths, () =>
      this.report({ type: 'loading', what: 'images', done: ++done, total: paths.size }),
    );
  }

  /** The samples of a batch; the order of an epoch is a function of the seed. */
  private batch(index: number): { samples: readonly Sample[]; epoch: number } {
    const { seed, batchSize, accumulate, questionsPerImage } = this.options;
    const epoch = Math.floor(index / this.stepsPerEpoch);
    const order = epochOrder(this.samples, questionsPerImage, seed, epoch);
    const size = batchSize * accumulate;
    const at = (index % this.stepsPerEpoch) * size;
    return { samples: order.slice(at, at + size), epoch };
  }

  private microBatches(samples: readonly Sample[], epoch: number): Feeds[] {
    const { batchSize, seed, augment } = this.options;
    const parts: Feeds[] = [];
    for (let at = 0; at < samples.length; at += batchSize) {
      const part = samples.slice(at, at + batchSize);
      const pixels = (id: string) =>
        augment
          ? this.images.pixelValues(id, AUGMENTATION, seed, 'augment', epoch)
          : this.images.pixelValues(id);
      const feeds = batchFeeds(part, pixels, this.manifest.config, samples.length);
      parts.push({ ...feeds, ...seedFeeds(part, feeds, [seed, epoch]) });
    }
    return parts;
  }

  private async step(trainer: Trainer): Promise<void> {
    const { samples, epoch } = this.batch(this.state.batches);
    const lr = learningRate(this.state.batches, this.stepsPerEpoch, this.options);
    const started = performance.now();
    let result: Awaited<ReturnType<Trainer['step']>>;
    try {
      result = await trainer.step(this.microBatches(samples, epoch), lr);
    } catch (error) {
      if (!(error instanceof NonFiniteError)) throw error;
      const qids = samples.map((s) => s.qid).join(', ');
      throw new UserError(
        `${error.message} at step ${this.state.batches + 1}`,
        `questions ${qids}`,
        'lower --lr; the last checkpoint is kept',
      );
    }
    const seconds = (performance.now() - started) / 1000;
    this.state = {
      ...this.state,
      step: trainer.state.step,
      lossScale: trainer.state.lossScale,
      batches: this.state.batches + 1,
    };
    this.log({
      type: 'step',
      step: this.state.batches,
      epoch,
      loss: result.loss,
      tokenLoss: (result.loss * samples.length) / labelCount(samples),
      lr,
      gradientNorm: result.gradientNorm,
      samplesPerSecond: samples.length / seconds,
      lossScale: trainer.state.lossScale,
    });
  }

  private async endEpoch(last: boolean): Promise<void> {
    const epoch = this.state.batches / this.stepsPerEpoch;
    const { evalEvery } = this.options;
    if (evalEvery > 0 && (last || epoch % evalEvery === 0)) await this.evaluate(epoch);
    this.save();
  }

  /** Validation accuracy; the best so far is kept. At step 0 it is the base's, which only the log keeps. */
  private async evaluate(epoch: number): Promise<void> {
    if (this.options.evalEvery === 0 || this.data.validation.length === 0) return;
    const scores = await this.validation.evaluate(this.tensors);
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
