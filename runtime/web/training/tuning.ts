/** @file Fine-tuning in the browser: the core's trainer on the run's own training graphs. */
import { isSameAnswer } from '../../../datasets/scoring/normalise-answer.js';
import { UserError } from '../../../graph-builder/errors.js';
import type { CutLevel } from '../../../graph-builder/models/cuts.js';
import { adamWDefaults } from '../../core/adamw.js';
import {
  distinctImages,
  labelCount,
  pixelFeed,
  type Sample,
  sampleFeeds,
  seedFeeds,
} from '../../core/batch.js';
import { predict } from '../../core/predict.js';
import { epochOrder } from '../../core/sampler.js';
import { learningRate } from '../../core/schedule.js';
import type { Feeds, Session } from '../../core/session.js';
import type { NamedTensors } from '../../core/trained-tensors.js';
import {
  INITIAL_LOSS_SCALE,
  NonFiniteError,
  type TrainableTensor,
  Trainer,
  type TrainerState,
} from '../../core/trainer.js';
import { inTurn } from '../in-turn.js';
import type { Model } from '../model.js';
import type { WebDevice } from '../ort.js';
import type { TuneEvaluation, TuneOptions, TuneStep } from './defaults.js';
import { chooseLevel, FrozenInputs } from './frozen-inputs.js';
import type { TableRow } from './table.js';

export type { TuneEvaluation, TuneOptions, TuneStep } from './defaults.js';

/** What a training learns from. */
export interface TuneJob {
  readonly rows: readonly TableRow[];
  /** images at the model's size, uint8 [3, side, side], by file name */
  readonly planes: ReadonlyMap<string, Uint8Array>;
  readonly options: TuneOptions;
}

export type TuneEvent =
  | TuneStep
  | TuneEvaluation
  | {
      readonly type: 'busy';
      readonly what: 'features' | 'checking';
      readonly done: number;
      readonly total: number;
    };

/** All that goes on with a training to the same numbers. */
export interface TuneCheckpoint {
  /** batches drawn */
  readonly batches: number;
  /** batches at the last evaluation; -1: none yet */
  readonly evaluated: number;
  readonly trainer: TrainerState;
  readonly tensors: ReadonlyMap<string, TrainableTensor>;
  /** the best evaluation after step 0; equal is not better */
  readonly best?:
    | { readonly step: number; readonly accuracy: number; readonly values: NamedTensors }
    | undefined;
}

/** The checkpoint before the first step. */
export function firstCheckpoint(tensors: NamedTensors): TuneCheckpoint {
  const started = [...tensors].map(([name, { shape, data }]): [string, TrainableTensor] => [
    name,
    {
      shape,
      value: data.slice(),
      expAvg: new Float32Array(data.length),
      expAvgSq: new Float32Array(data.length),
    },
  ]);
  return {
    batches: 0,
    evaluated: -1,
    trainer: { step: 0, lossScale: INITIAL_LOSS_SCALE },
    tensors: new Map(started),
  };
}

/** Trained values of the best evaluation, else the last ones. */
export const bestValues = (checkpoint: TuneCheckpoint): NamedTensors =>
  checkpoint.best?.values ?? valuesOf(checkpoint);

/** Trained values alone, as they are now. */
export const valuesOf = ({ tensors }: TuneCheckpoint): NamedTensors =>
  new Map([...tensors].map(([name, { shape, value }]) => [name, { shape, data: value }]));

/** What is open while a training runs. */
interface OpenGraphs {
  readonly device: WebDevice;
  readonly session: Session;
  readonly trainer: Trainer;
  readonly frozen: FrozenInputs | undefined;
}

export class Tuning {
  private readonly train: readonly Sample[];
  private readonly validation: readonly (Sample & { readonly answer: string })[];
  readonly stepsPerEpoch: number;
  readonly total: number;
  private readonly level: CutLevel | undefined;
  private graphs: OpenGraphs | undefined;
  private state: TrainerState;
  private batches: number;
  private evaluated: number;
  private best: TuneCheckpoint['best'];

  /** @throws {UserError} when there is nothing to learn from, or an image is missing. */
  constructor(
    private readonly model: Model,
    private readonly job: TuneJob,
    private readonly from: TuneCheckpoint,
    private readonly report: (event: TuneEvent) => void = () => {},
  ) {
    const { rows, planes, options } = job;
    const missing = rows.find(({ imageId }) => !planes.has(imageId));
    if (missing)
      throw new UserError(
        `no image ${missing.imageId}`,
        'folder of images',
        'choose the folder that holds it, or delete its rows',
      );
    const samples = rows.map((row) => ({ ...this.tokenised(row), answer: row.answer, split: row.split }));
    this.train = samples.filter(({ split }) => split === 'train');
    this.validation = samples.filter(({ split }) => split === 'validation');
    if (this.train.length === 0)
      throw new UserError('there is no question to learn from', 'table', "give rows whose split is 'train'");
    this.stepsPerEpoch = Math.ceil(this.train.length / options.batchSize);
    this.total = this.stepsPerEpoch * options.epochs;
    this.level = chooseLevel(model.manifest, this.train, options.batchSize);
    this.state = { ...from.trainer };
    this.batches = from.batches;
    this.evaluated = from.evaluated;
    this.best = from.best;
  }

  get isOver(): boolean {
    return this.batches >= this.total && (this.validation.length === 0 || this.evaluated >= this.total);
  }

  /** What is to be kept; shares its arrays with the training: clone or store it before the next step. */
  checkpoint(): TuneCheckpoint {
    const { batches, evaluated, from, best } = this;
    return {
      batches,
      evaluated,
      trainer: { ...(this.graphs?.trainer.state ?? this.state) },
      tensors: from.tensors,
      ...(best && { best }),
    };
  }

  /** Opens the graphs and computes the frozen features, once an image. */
  async open(): Promise<void> {
    if (!this.model.manifest.graphs.training)
      throw new UserError(
        'the run has nothing to train',
        'model',
        'choose a run that build-graph made with adapters',
      );
    await inTurn(() => this.withGraphs(async () => undefined));
    await this.computeFeatures();
  }

  /** One update, and the evaluation that is due before or after it. */
  async step(): Promise<void> {
    await this.evaluateIfDue();
    if (this.batches < this.total) await inTurn(() => this.update());
    await this.evaluateIfDue();
  }

  async release(): Promise<void> {
    await inTurn(() => this.closeGraphs());
  }

  /**
   * Works on the open graphs; where the graphics card fails and was not asked for by name, once more on WebAssembly:
   * nothing is learned from a step that failed. Call it in turn.
   */
  private async withGraphs<T>(work: (graphs: OpenGraphs) => Promise<T>): Promise<T> {
    const device = this.graphs?.device ?? this.model.device.device;
    try {
      return await work(await this.openGraphs());
    } catch (error) {
      if (error instanceof NonFiniteError || !(await this.model.fallBack(device))) throw error;
      await this.closeGraphs().catch(() => undefined);
      return work(await this.openGraphs());
    }
  }

  private async openGraphs(): Promise<OpenGraphs> {
    if (this.graphs) return this.graphs;
    const { model, job, level } = this;
    const { device } = model.device;
    const frozen = level && (await FrozenInputs.open(model, level, job.planes));
    try {
      const session = await model.openGraph(frozen?.role ?? 'training');
      const { weightDecay, clip } = job.options;
      const settings = { ...adamWDefaults, weightDecay, clip };
      const trainer = new Trainer(session, this.from.tensors, settings, { ...this.state });
      this.graphs = { device, session, trainer, frozen };
      return this.graphs;
    } catch (error) {
      await frozen?.release();
      throw error;
    }
  }

  private async closeGraphs(): Promise<void> {
    const { graphs } = this;
    if (!graphs) return;
    this.state = { ...graphs.trainer.state };
    this.graphs = undefined;
    await graphs.frozen?.release();
    await graphs.session.release();
  }

  private tokenised({ qid, imageId, question, answer }: TableRow): Sample {
    const { tokenizer, manifest } = this.model;
    const { maxQuestionTokens, maxAnswerTokens } = manifest.text;
    return {
      qid,
      imageId,
      questionIds: tokenizer.encodeQuestion(question, maxQuestionTokens).ids,
      answerIds: tokenizer.encodeAnswer(answer, maxAnswerTokens).ids,
    };
  }

  /** A few at a time, so that a question asked meanwhile need not wait for all. */
  private async computeFeatures(): Promise<void> {
    const { level, model, train } = this;
    if (!level) return;
    const one = new Map(train.map((s) => [s.imageId, s]));
    const samples = model.manifest.cuts[level]!.per === 'question' ? train : [...one.values()];
    const AT_ONCE = 4;
    for (let at = 0; at < samples.length; at += AT_ONCE) {
      const part = samples.slice(at, at + AT_ONCE);
      const tokens = Math.max(...part.map((s) => s.questionIds.length));
      await inTurn(() => this.withGraphs(({ frozen }) => frozen!.feeds(part, tokens)));
      this.report({ type: 'busy', what: 'features', done: at + part.length, total: samples.length });
    }
  }

  private async update(): Promise<void> {
    const { options } = this.job;
    const started = performance.now();
    const epoch = Math.floor(this.batches / this.stepsPerEpoch);
    const index = this.batches % this.stepsPerEpoch;
    const order = epochOrder(this.train, 1, options.seed, epoch);
    const samples = order.slice(index * options.batchSize, (index + 1) * options.batchSize);
    const lr = learningRate(this.batches, this.stepsPerEpoch, options);
    const { loss } = await this.attempt(samples, epoch, lr);
    this.batches += 1;
    this.report({
      type: 'step',
      step: this.batches,
      total: this.total,
      epoch,
      loss,
      tokenLoss: (loss * samples.length) / labelCount(samples),
      seconds: (performance.now() - started) / 1000,
    });
  }

  private async attempt(samples: readonly Sample[], epoch: number, lr: number) {
    try {
      return await this.withGraphs(async ({ frozen, trainer }) =>
        trainer.step([await this.feedsOf(samples, epoch, frozen)], lr),
      );
    } catch (error) {
      if (!(error instanceof NonFiniteError)) throw error;
      const where = `step ${this.batches + 1}, ${samples.map((s) => s.qid).join(', ')}`;
      throw new UserError(error.message, where, 'lower the learning rate and start again');
    }
  }

  private async feedsOf(
    samples: readonly Sample[],
    epoch: number,
    frozen: FrozenInputs | undefined,
  ): Promise<Feeds> {
    const { config } = this.model.manifest;
    const text = sampleFeeds(samples, config);
    const seeds = seedFeeds(samples, text, [this.job.options.seed, epoch], frozen?.imageRows(samples));
    if (frozen) return { ...text, ...seeds, ...(await frozen.feeds(samples, text.question_ids!.dims[1]!)) };
    const pixels = distinctImages(samples).map((id) => this.pixels(id));
    return { ...text, ...seeds, pixel_values: pixelFeed(pixels, config) };
  }

  private pixels = (id: string): Float32Array => this.model.pixelValues(this.job.planes.get(id)!);

  /** Before the first step and after each epoch. */
  private async evaluateIfDue(): Promise<void> {
    const { batches, validation, model } = this;
    if (validation.length === 0 || this.evaluated >= batches || batches % this.stepsPerEpoch !== 0) return;
    const values = valuesOf(this.checkpoint());
    let right = 0;
    const AT_ONCE = 8;
    for (let at = 0; at < validation.length; at += AT_ONCE) {
      const part = validation.slice(at, at + AT_ONCE);
      this.report({ type: 'busy', what: 'checking', done: at, total: validation.length });
      const found = await inTurn(() =>
        model.withTensors(values, (answerer) =>
          predict(answerer, part, this.pixels, { tokenizer: model.tokenizer }),
        ),
      );
      right += part.filter((s, i) => isSameAnswer(s.answer, found[i]!.answer)).length;
    }
    const accuracy = right / validation.length;
    this.evaluated = batches;
    if (batches > 0 && accuracy > (this.best?.accuracy ?? -1))
      this.best = { step: batches, accuracy, values: copied(values) };
    this.report({ type: 'evaluation', step: batches, n: validation.length, accuracy });
  }
}

const copied = (tensors: NamedTensors): NamedTensors =>
  new Map([...tensors].map(([name, { shape, data }]) => [name, { shape, data: data.slice() }]));
