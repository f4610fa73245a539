/** @file Questions about images, answered by a MISS model. */
import type { Question } from '../../../datasets/dataset.js';
import type { Augmentation } from '../../../datasets/images/augment.js';
import { loadTokenizer } from '../../../datasets/load-tokenizer.js';
import { isSameAnswer, isYesNo } from '../../../datasets/scoring/normalise-answer.js';
import { UserError } from '../../../graph-builder/errors.js';
import type { TrainedTensor } from '../../../training-artifacts/checkpoint/checkpoint.js';
import { EVALUATION_CUT } from '../../../training-artifacts/graphs/cut-roles.js';
import type { GraphRole, Manifest } from '../../../training-artifacts/graphs/manifest.js';
import { Answerer, type InferenceSessions } from '../../core/answerer.js';
import {
  distinctImages,
  labelCount,
  pixelFeed,
  type Sample,
  sampleFeeds,
  seedFeeds,
} from '../../core/batch.js';
import { predict } from '../../core/predict.js';
import { drawWording, epochOrder } from '../../core/sampler.js';
import { type Feeds, float32, floats, type Session } from '../../core/session.js';
import { imagePaths, type LoadedData, loadData, type Tokenised, tokenise } from '../data.js';
import type { Change } from '../image-workers/prepare.js';
import { ImageStore } from '../images.js';
import { openGraph, openInference, servingFeeds } from '../inference.js';
import { chooseCut, type FrozenInputs, validationInputs } from './frozen-inputs.js';
import { augmentationOf, type TrainOptions } from './options.js';
import type { Scores, TaskBatch, TrainingTask } from './task.js';

const GB = 1e9;
/** What instruction data need: options and templates make questions long. */
const INSTRUCTION_TOKENS = 128;

export class VqaTask implements TrainingTask {
  readonly measures = ['accuracy', 'loss'] as const;
  readonly notes: string[] = [];
  settled: Partial<TrainOptions>;
  private readonly samples: readonly Sample[];
  private readonly images: ImageStore;
  private readonly changes: Augmentation | undefined;
  /** the order of the epoch that was asked for last, and of the next */
  private readonly orders = new Map<number, readonly Sample[]>();
  private sessions: InferenceSessions | undefined;
  private evaluation: Session | undefined;
  private frozen: FrozenInputs | undefined;
  /** what is kept of the image for validation */
  private kept: FrozenInputs | undefined;

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
    this.notes.push(...cutTexts(truncated, manifest));
    this.samples = samples;
    this.settled = { rowsSha256: data.rowsHash };
    this.images = new ImageStore(manifest.config.imageSize, manifest.image.normalisation, {
      limitBytes: options.imageMemoryGb * GB,
      threads: options.imageThreads,
    });
    this.changes = augmentationOf(options);
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
    const { run, manifest, options, samples, images } = this;
    const kept = Math.min(paths.size, images.most);
    await images.load(paths, () => onItem('images', ++done, kept));
    this.notes.push(...images.notes);
    if (images.unkept > 0)
      this.notes.push(
        `${images.unkept} of ${paths.size} images do not fit --image-memory-gb: they are decoded at each visit`,
      );
    const { inputs, note } = await chooseCut(run, manifest, options, samples, images);
    this.frozen = inputs;
    if (inputs && validation.length > 0) this.kept = validationInputs(run, manifest, options, inputs, images);
    if (options.cut === 'auto') this.settled = { ...this.settled, cut: inputs?.level ?? 'none' };
    if (note) this.notes.push(note);
  }

  async batch(epoch: number, index: number): Promise<TaskBatch> {
    const { batchSize } = this.options;
    // every item was seen
    if (epoch > 0 && index === 0) await this.frozen?.releaseGraph();
    const samples = this.visited(epoch, index);
    const waited = this.images.waitedMs;
    const microBatches: Feeds[] = [];
    for (let at = 0; at < samples.length; at += batchSize)
      microBatches.push(
        await this.microBatch(samples.slice(at, at + batchSize), samples.length, epoch, at / batchSize),
      );
    this.prefetch(epoch, index);
    return {
      microBatches,
      ids: samples.map((s) => s.qid),
      waitMs: this.images.waitedMs - waited,
      units: labelCount(samples) / samples.length,
    };
  }

  /** Samples of a batch, each in the wording of the epoch. */
  private visited(epoch: number, index: number): readonly Sample[] {
    const { seed, batchSize, accumulate, questionsPerImage } = this.options;
    const order = this.orders.get(epoch) ?? epochOrder(this.samples, questionsPerImage, seed, epoch);
    for (const old of this.orders.keys()) if (old < epoch - 1) this.orders.delete(old);
    this.orders.set(epoch, order);
    const size = batchSize * accumulate;
    return order.slice(index * size, (index + 1) * size).map((s) => drawWording(s, seed, epoch));
  }

  /** Threads prepare the images of the batch after this one while ONNX Runtime works on this. */
  private prefetch(epoch: number, index: number): void {
    if (this.frozen) return;
    const { batchSize, accumulate } = this.options;
    const isLast = (index + 1) * batchSize * accumulate >= this.size;
    const [nextEpoch, next] = isLast ? [epoch + 1, 0] : [epoch, index + 1];
    if (nextEpoch >= this.options.epochs) return;
    for (const id of distinctImages(this.visited(nextEpoch, next)))
      this.images.prefetch(id, this.changeOf(id, nextEpoch));
  }

  private changeOf(id: string, epoch: number): Change | undefined {
    const { changes: augmentation } = this;
    return augmentation && { augmentation, words: [this.options.seed, 'augment', epoch, id] };
  }

  /** Feeds of a part of a batch of `batchSize` samples. */
  private async microBatch(
    part: readonly Sample[],
    batchSize: number,
    epoch: number,
    slot: number,
  ): Promise<Feeds> {
    const { seed } = this.options;
    const { config } = this.manifest;
    const text = sampleFeeds(part, config, batchSize);
    const seeds = seedFeeds(part, text, [seed, epoch], this.frozen?.imageRows(part));
    if (this.frozen) {
      const tokens = text.question_ids!.dims[1]!;
      return { ...text, ...seeds, ...(await this.frozen.feeds(part, tokens, slot)) };
    }
    const pixels = await this.images.several(distinctImages(part), (id) => this.changeOf(id, epoch));
    return { ...text, ...seeds, pixel_values: pixelFeed(pixels, config) };
  }

  /** Validation questions answered by beam search. */
  async evaluate(tensors: ReadonlyMap<string, TrainedTensor>): Promise<Scores | undefined> {
    const questions = this.data.validation;
    if (questions.length === 0) return undefined;
    this.sessions ??= await openInference(this.run, this.manifest, this.options.threads ?? undefined);
    const tokenizer = loadTokenizer();
    const answerer = new Answerer(this.sessions, this.manifest.config, servingFeeds(tensors, this.manifest));
    const { samples } = tokenise(questions, this.manifest, tokenizer);
    const predictions = await predict(answerer, samples, (id) => this.images.pixelValues(id), {
      tokenizer,
      ...(this.kept && { imageStates: this.kept.imageStates }),
    });
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
    const { run, manifest, options, kept } = this;
    const role = kept ? EVALUATION_CUT : 'evaluation';
    this.evaluation ??= await openGraph(run, manifest, role, { threads: options.threads });
    const trained = Object.fromEntries([...tensors].map(([name, t]) => [name, float32(t.value, t.shape)]));
    let total = 0;
    for (let at = 0; at < samples.length; at += options.batchSize) {
      const part = samples.slice(at, at + options.batchSize);
      const feeds = { ...trained, ...sampleFeeds(part, manifest.config), ...(await this.imageFeeds(part)) };
      const { loss } = await this.evaluation.run(feeds, ['loss']);
      total += floats(loss)[0]! * part.length; // the loss is averaged over the samples
    }
    return total / labelCount(samples);
  }

  /** The images of a validation batch, or what is kept of them. */
  private async imageFeeds(part: readonly Sample[]): Promise<Feeds> {
    if (this.kept) return this.kept.validationFeeds(part);
    const pixels = await this.images.several(distinctImages(part));
    return { pixel_values: pixelFeed(pixels, this.manifest.config) };
  }

  close(): Promise<void> {
    return this.images.close();
  }
}

/** What was cut to the token limits. @throws {UserError} when it is what instruction data are made of: options. */
function cutTexts({ questions, answers, wordings }: Tokenised['truncated'], { text }: Manifest): string[] {
  const { maxQuestionTokens: most } = text;
  if (wordings > 0 && most < INSTRUCTION_TOKENS)
    throw new UserError(
      `${wordings} questions of the instruction data are longer than the run's ${most} word pieces`,
      '--data',
      `build the run with --max-question-tokens ${INSTRUCTION_TOKENS}`,
    );
  const notes = [];
  if (questions + answers > 0)
    notes.push(`${questions} questions and ${answers} answers were cut to the token limits`);
  if (wordings > 0) notes.push(`${wordings} wordings were cut to ${most} word pieces`);
  return notes;
}
