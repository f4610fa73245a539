/** @file A run in Node that answers questions, with adapters that can be switched. */
import { loadTokenizer } from '../../datasets/load-tokenizer.js';
import { UserError } from '../../graph-builder/errors.js';
import { readAdapterFolder } from '../../training-artifacts/adapters/peft-folder.js';
import { type CheckpointName, trainedValues } from '../../training-artifacts/checkpoint/checkpoint.js';
import { type Manifest, readManifest } from '../../training-artifacts/graphs/manifest.js';
import { Answerer, type InferenceSessions } from '../core/answerer.js';
import { NOTICE } from '../core/notice.js';
import { predict } from '../core/predict.js';
import { servedFeeds } from '../core/served-feeds.js';
import { OWN } from '../core/served-runs.js';
import type { Feeds } from '../core/session.js';
import { checkTensors } from '../core/trained-tensors.js';
import { ImageStore } from './images.js';
import { servingFeeds as feedsOf, openInference } from './inference.js';
import type { EvaluationEvent, TrainingEvent } from './training/events.js';
import { exportAdapter } from './training/finish.js';
import { trainInChild } from './training/in-child.js';
import { type TrainOptions, trainDefaults } from './training/options.js';

export interface LoadOptions {
  /** auto (default): the best, else the last, else the untrained base */
  readonly checkpoint?: CheckpointName | 'base' | 'auto';
  /** threads inside an operator; default: ONNX Runtime's choice */
  readonly threads?: number;
}

export interface AskOptions {
  /** one that {@link Model.loadAdapter} loaded; default: what the run was trained to */
  readonly adapter?: string;
  /** 1 to 8, default 3 */
  readonly beams?: number;
}

export interface Answer {
  readonly answer: string;
  /** exp(Σ log p) of the answer's tokens */
  readonly probability: number;
  /** best first, the answer among them */
  readonly beams: readonly { readonly answer: string; readonly probability: number }[];
  readonly milliseconds: number;
  /** to be shown beside the answer */
  readonly notice: string;
}

export interface TrainRequest {
  /** default: {@link trainDefaults}, which are those of `ort-train` */
  readonly options?: Partial<TrainOptions>;
  /** goes on from the last checkpoint, with its options */
  readonly resume?: boolean;
  readonly onEvent?: (event: TrainingEvent) => void;
  /** ends the training with a checkpoint after the current step */
  readonly signal?: AbortSignal;
}

export interface Trained {
  /** updates made */
  readonly steps: number;
  /** of the best evaluation after step 0 */
  readonly accuracy: number | undefined;
  /** folder of the adapter in PEFT's format */
  readonly folder: string;
}

export class Model {
  private readonly adapters = new Map<string, Feeds>();
  private readonly tokenizer = loadTokenizer();
  private readonly images: ImageStore;

  /** @internal use {@link loadModel} */
  constructor(
    readonly run: string,
    readonly manifest: Manifest,
    private readonly sessions: InferenceSessions,
    checkpoint: NonNullable<LoadOptions['checkpoint']>,
  ) {
    this.images = new ImageStore(manifest.config.imageSize, manifest.image.normalisation);
    this.takeCheckpoint(checkpoint);
  }

  get adapterNames(): string[] {
    return [...this.adapters.keys()];
  }

  /**
   * Answers a question about an image: the path of a file, or its content.
   *
   * @example (await model.answer('scan.png', 'Is there a pleural effusion?')).answer // 'no'
   * @throws {FileError} for a file that is no image; {UserError} for an empty question or an unknown adapter.
   */
  async answer(
    image: string | Uint8Array,
    question: string,
    { adapter = OWN, beams = 3 }: AskOptions = {},
  ): Promise<Answer> {
    const trained = this.adapters.get(adapter);
    if (!trained)
      throw new UserError(
        `no adapter '${adapter}'`,
        'adapter',
        `choose from ${this.adapterNames.join(', ')}`,
      );
    const { manifest, tokenizer } = this;
    const { ids } = tokenizer.encodeQuestion(question, manifest.text.maxQuestionTokens);
    const pixels = await this.images.readPixelValues(image);
    const started = performance.now();
    const sample = { qid: 'question', imageId: 'image', questionIds: ids, answerIds: [] };
    const answerer = new Answerer(this.sessions, manifest.config, trained);
    const [found] = await predict(answerer, [sample], () => pixels, { tokenizer, beams });
    return {
      answer: found!.answer,
      probability: found!.probability,
      beams: found!.beams.map(({ answer, probability }) => ({ answer, probability })),
      milliseconds: performance.now() - started,
      notice: NOTICE,
    };
  }

  /**
   * Loads an adapter folder in PEFT's format under a name; no session is opened again.
   *
   * @throws {FileError} for files that are no adapter, or one of another method or other sites.
   */
  async loadAdapter(name: string, folder: string): Promise<void> {
    const { modules, tensors } = readAdapterFolder(folder);
    checkTensors(tensors, this.manifest, folder);
    this.adapters.set(name, servedFeeds(tensors, { name, modules }, this.manifest.config.textHeads));
  }

  /**
   * Trains the run in a process of its own, as `ort-train` does; then answers with its best checkpoint.
   *
   * @example await model.train({ options: { epochs: 3, limit: 200 } });
   * @throws {UserError} when the options or the data do not fit, or the process ends early.
   */
  async train({
    options = {},
    resume = false,
    onEvent = () => {},
    signal,
  }: TrainRequest = {}): Promise<Trained> {
    let steps = 0;
    let best: EvaluationEvent | undefined;
    const training = trainInChild(
      { run: this.run, options: { ...trainDefaults, ...options }, resume },
      (event) => {
        if (event.type === 'end') steps = event.step;
        if (event.type === 'evaluation' && event.step > 0 && event.accuracy > (best?.accuracy ?? -1))
          best = event;
        onEvent(event);
      },
    );
    const stop = () => training.stop();
    signal?.addEventListener('abort', stop, { once: true });
    await training.finished.finally(() => signal?.removeEventListener('abort', stop));
    this.takeCheckpoint('auto');
    return { steps, accuracy: best?.accuracy, folder: exportAdapter(this.run) };
  }

  async dispose(): Promise<void> {
    for (const session of Object.values(this.sessions)) await session.release();
  }

  private takeCheckpoint(checkpoint: NonNullable<LoadOptions['checkpoint']>): void {
    const { run, manifest } = this;
    this.adapters.set(OWN, feedsOf(trainedValues(run, manifest, checkpoint), manifest));
  }
}

/**
 * Loads a run folder.
 *
 * @example const model = await loadModel('runs/lora-r8');
 * @throws {FileError} for a folder that is no run, or a damaged one.
 */
export async function loadModel(
  run: string,
  { checkpoint = 'auto', threads }: LoadOptions = {},
): Promise<Model> {
  const manifest = readManifest(run);
  return new Model(run, manifest, await openInference(run, manifest, threads), checkpoint);
}
