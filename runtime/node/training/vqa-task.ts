/** @file Questions about images, answered by a MISS model. */
import type { Question } from '../../../datasets/dataset.js';
import { loadTokenizer } from '../../../datasets/load-tokenizer.js';
import { isSameAnswer, isYesNo } from '../../../datasets/scoring/normalise-answer.js';
import { UserError } from '../../../graph-builder/errors.js';
import type { TrainedTensor } from '../../../training-artifacts/checkpoint/checkpoint.js';
import type { Manifest } from '../../../training-artifacts/graphs/manifest.js';
import { Answerer, type InferenceSessions } from '../../core/answerer.js';
import { batchFeeds, labelCount, type Sample, seedFeeds } from '../../core/batch.js';
import { predict } from '../../core/predict.js';
import { epochOrder } from '../../core/sampler.js';
import type { Feeds } from '../../core/session.js';
import { imagePaths, type LoadedData, loadData, tokenise } from '../data.js';
import { ImageStore } from '../images.js';
import { openInference, servingFeeds } from '../inference.js';
import type { TrainOptions } from './options.js';
import type { Scores, TaskBatch, TrainingTask } from './task.js';

const AUGMENTATION = { shift: 8, brightness: 0.15 };

export class VqaTask implements TrainingTask {
  readonly notes: string[] = [];
  private readonly data: LoadedData;
  private readonly samples: readonly Sample[];
  private readonly images: ImageStore;
  private sessions: InferenceSessions | undefined;

  /** @throws {UserError} when there is nothing to train on. */
  constructor(
    private readonly run: string,
    private readonly manifest: Manifest,
    private readonly options: TrainOptions,
  ) {
    this.data = loadData(options);
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
    this.images = new ImageStore(manifest.config.imageSize, manifest.image.normalisation);
  }

  get size(): number {
    return this.samples.length;
  }

  async load(onItem: (what: string, done: number, total: number) => void): Promise<void> {
    const { dataset } = this.data;
    const validation = this.options.evalEvery > 0 ? this.data.validation : [];
    const paths = new Map(this.samples.map(({ imageId }) => [imageId, dataset.imagePath(imageId)]));
    for (const [id, path] of imagePaths(dataset, validation)) paths.set(id, path);
    let done = 0;
    await this.images.load(paths, () => onItem('images', ++done, paths.size));
  }

  batch(epoch: number, index: number): TaskBatch {
    const { seed, batchSize, accumulate, questionsPerImage } = this.options;
    const order = epochOrder(this.samples, questionsPerImage, seed, epoch);
    const size = batchSize * accumulate;
    const samples = order.slice(index * size, (index + 1) * size);
    return {
      microBatches: this.microBatches(samples, epoch),
      ids: samples.map((s) => s.qid),
      units: labelCount(samples) / samples.length,
    };
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
    };
  }
}
