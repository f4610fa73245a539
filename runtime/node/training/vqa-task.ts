/** @file Questions about images, answered by a MISS model. */
import type { Question } from '../../../datasets/dataset.js';
import { loadTokenizer } from '../../../datasets/load-tokenizer.js';
import { isSameAnswer, isYesNo } from '../../../datasets/scoring/normalise-answer.js';
import { UserError } from '../../../graph-builder/errors.js';
import type { TrainedTensor } from '../../../training-artifacts/checkpoint/checkpoint.js';
import type { GraphRole, Manifest } from '../../../training-artifacts/graphs/manifest.js';
import { Answerer, type InferenceSessions } from '../../core/answerer.js';
import {
  batchFeeds,
  distinctImages,
  labelCount,
  pixelFeed,
  type Sample,
  sampleFeeds,
  seedFeeds,
} from '../../core/batch.js';
import { predict } from '../../core/predict.js';
import { epochOrder } from '../../core/sampler.js';
import { type Feeds, float32, floats, type Session } from '../../core/session.js';
import { imagePaths, type LoadedData, loadData, tokenise } from '../data.js';
import { ImageStore } from '../images.js';
import { openGraph, openInference, servingFeeds } from '../inference.js';
import { chooseCut, type FrozenInputs } from './frozen-inputs.js';
import type { TrainOptions } from './options.js';
import type { Scores, TaskBatch, TrainingTask } from './task.js';

const AUGMENTATION = { shift: 8, brightness: 0.15 };

export class VqaTask implements TrainingTask {
  readonly measures = ['accuracy', 'loss'] as const;
  readonly notes: string[] = [];
  settled: Partial<TrainOptions>;
  private readonly samples: readonly Sample[];
  private readonly images: ImageStore;
  private sessions: InferenceSessions | undefined;
  private evaluation: Session | undefined;
  private frozen: FrozenInputs | undefined;

  /** @throws {UserError} when there is nothing to train on, or a resumed run finds other rows. */
  static async open(run: string, manifest: Manifest, options: TrainOptions): Promise<VqaTask> {
    const data = await loadData(options);
    if (options.rowsSha256 !== null && options.rowsSha256 !== data.rowsHash)
      throw new UserError(
        'the training or validation rows are not those of the checkpoint',
        options.data,
        'restore the table and the split as they were, or train again with --overwrite',
      );
    return new VqaTask(run, manifest, options, data);
  }

  private constructor(
    private readonly run: string,
    private readonly manifest: Manifest,
    private readonly options: TrainOptions,
    private readonly data: LoadedData,
  ) {
    this.notes.push(...data.notes);
    const train = this.data.train.slice(0, options.limit ?? undefined);
    if (train.length === 0)
      throw new UserError('there is no training question', '--data', 'choose another data set or split');
    const { samples, truncated } = tokenise(train, manifest);
    if (truncated.questions + truncated.answers > 0) {
      this.notes.push(
        `${truncated.questions} questions and ${truncated.answers} answers were cut to the token limits`,
      );
    }
    this.samples = samples;
    this.settled = { rowsSha256: data.rowsHash };
    this.images = new ImageStore(manifest.config.imageSize, manifest.image.normalisation);
  }

  get size(): number {
    return this.samples.length;
  }

  get role(): GraphRole {
    return this.frozen?.role ?? 'training';
  }

  async load(onItem: (what: string, done: number, total: number) => void): Promise<void> {
    const { dataset } = this.data;
    const { evalEvery, evalEverySteps } = this.options;
    const validation = evalEvery > 0 || evalEverySteps > 0 ? this.data.validation : [];
    const paths = new Map(this.samples.map(({ imageId }) => [imageId, dataset.imagePath(imageId)]));
    for (const [id, path] of imagePaths(dataset, validation)) paths.set(id, path);
    let done = 0;
    await this.images.load(paths, () => onItem('images', ++done, paths.size));
    const { run, manifest, options, samples, images } = this;
    const { inputs, note } = await chooseCut(run, manifest, options, samples, images);
    this.frozen = inputs;
    if (options.cut === 'auto') this.settled = { ...this.settled, cut: inputs?.level ?? 'none' };
    if (note) this.notes.push(note);
  }

  async batch(epoch: number, index: number): Promise<TaskBatch> {
    const { seed, batchSize, accumulate, questionsPerImage } = this.options;
    const order = epochOrder(this.samples, questionsPerImage, seed, epoch);
    const size = batchSize * accumulate;
    const samples = order.slice(index * size, (index + 1) * size);
    const microBatches: Feeds[] = [];
    for (let at = 0; at < samples.length; at += batchSize)
      microBatches.push(
        await this.microBatch(samples.slice(at, at + batchSize), samples.length, epoch, at / batchSize),
      );
    return {
      microBatches,
      ids: samples.map((s) => s.qid),
      units: labelCount(samples) / samples.length,
    };
  }

  /** Feeds of a part of a batch of `batchSize` samples. */
  private async microBatch(
    part: readonly Sample[],
    batchSize: number,
    epoch: number,
    slot: number,
  ): Promise<Feeds> {
    const { seed, augment } = this.options;
    const { config } = this.manifest;
    const text = sampleFeeds(part, config, batchSize);
    const seeds = seedFeeds(part, text, [seed, epoch], this.frozen?.imageRows(part));
    if (this.frozen) {
      const tokens = text.question_ids!.dims[1]!;
      return { ...text, ...seeds, ...(await this.frozen.feeds(part, tokens, slot)) };
    }
    const pixels = (id: string) =>
      augment
        ? this.images.pixelValues(id, AUGMENTATION, seed, 'augment', epoch)
        : this.images.pixelValues(id);
    return { ...text, ...seeds, pixel_values: pixelFeed(distinctImages(part).map(pixels), config) };
  }

  /** Validation questions answered by beam search. */
  async evaluate(tensors: ReadonlyMap<string, TrainedTensor>): Promise<Scores | undefined> {
    const questions = this.data.validation;
    if (questions.length === 0) return undefined;
    this.sessions ??= await openInference(this.run, this.manifest, this.options.threads ?? undefined);
    const tokenizer = loadTokenizer();
    const answerer = new Answerer(this.sessions, this.manifest.config, servingFeeds(tensors, this.manifest));
    const { samples } = tokenise(questions, this.manifest, tokenizer);
    const predictions = await predict(answerer, samples, (id) => this.images.pixelValues(id), { tokenizer });
    const right = questions.map((q, i) => isSameAnswer(q.answer, predictions[i]!.answer));
    const share = (keep: (q: Question) => boolean) => {
      const kept = right.filter((_, i) => keep(questions[i]!));
      return kept.filter(Boolean).length / kept.length;
    };
    return {
      n: right.length,
      accuracy: share(() => true),
      yesNo: share((q) => isYesNo(q.answer)),
      notYesNo: share((q) => !isYesNo(q.answer)),
      loss: await this.validationLoss(samples, tensors),
    };
  }

  /** Nats an answer token. */
  private async validationLoss(
    samples: readonly Sample[],
    tensors: ReadonlyMap<string, TrainedTensor>,
  ): Promise<number> {
    const { run, manifest, options } = this;
    this.evaluation ??= await openGraph(run, manifest, 'evaluation', options.threads ?? undefined);
    const trained = Object.fromEntries([...tensors].map(([name, t]) => [name, float32(t.value, t.shape)]));
    let total = 0;
    for (let at = 0; at < samples.length; at += options.batchSize) {
      const part = samples.slice(at, at + options.batchSize);
      const feeds = batchFeeds(part, (id) => this.images.pixelValues(id), manifest.config);
      const { loss } = await this.evaluation.run({ ...trained, ...feeds }, ['loss']);
      total += floats(loss)[0]! * part.length; // the loss is averaged over the samples
    }
    return total / labelCount(samples);
  }
}
