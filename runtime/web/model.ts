/** @file A run in the browser that answers questions, with adapters that can be switched. */

import { normalisations, toPixelValues } from '../../datasets/images/normalise.js';
import type { RgbImage } from '../../datasets/images/resize.js';
import { resizeImage, toPlanes } from '../../datasets/images/resize.js';
import type { VqaTokenizer } from '../../datasets/tokenizer.js';
import { UserError } from '../../graph-builder/errors.js';
import type { Variant } from '../../graph-builder/variant/variant.js';
import type { GraphRole, Manifest } from '../../training-artifacts/graphs/manifest.js';
import { Answerer, type InferenceSessions } from '../core/answerer.js';
import { NOTICE } from '../core/notice.js';
import { predict } from '../core/predict.js';
import { servedFeeds } from '../core/served-feeds.js';
import { OWN } from '../core/served-runs.js';
import type { Feeds, Session } from '../core/session.js';
import { checkTensors, type NamedTensors } from '../core/trained-tensors.js';
import { type Choice, chooseDevice } from './choose-device.js';
import { decodeImage } from './decode-image.js';
import type { DownloadNote } from './download.js';
import type { ExplainedAnswer } from './explain.js';
import { inTurn } from './in-turn.js';
import type { WebDevice } from './ort.js';
import { readAdapter, readGraph, readManifest, readTokenizer, readTrained, readWeights } from './read-run.js';
import { httpSource, type RunSource } from './run-source.js';
import { openOver, sharedSession } from './session-pool.js';
import type { Trained, TrainRequest } from './training/train.js';

/** `done` of `total`: bytes of a download, graphs of a compilation. */
export interface Progress {
  readonly stage: 'download' | 'compile';
  readonly done: number;
  readonly total: number;
}

/** device-lost: the graphics card failed and WebAssembly took over. */
export type Note = DownloadNote | 'device-lost';

export interface LoadOptions {
  /** auto (default): WebGPU where a graphics card answers, else WebAssembly; a device that is named is never replaced */
  readonly device?: WebDevice | 'auto';
  /** of WebAssembly; default: the cores, at most 8, and 1 on pages that are not cross-origin isolated */
  readonly threads?: number;
  readonly onProgress?: (progress: Progress) => void;
  readonly onNote?: (note: Note) => void;
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
  readonly device: WebDevice;
  readonly milliseconds: number;
  /** to be shown beside the answer */
  readonly notice: string;
}

const roles = {
  imageEncoder: 'imageEncoder',
  questionEncoder: 'questionEncoder',
  answerDecoder: 'answerDecoder',
} as const satisfies Record<keyof InferenceSessions, GraphRole>;

/** An adapter in both forms: as it was trained, and as the serving graphs take it. */
export interface LoadedAdapter {
  readonly tensors: NamedTensors;
  readonly variant: Variant;
  readonly feeds: Feeds;
}

export class Model {
  private readonly adapters = new Map<string, LoadedAdapter>();
  private sessions: InferenceSessions | undefined;

  /** @internal use {@link loadModel} */
  constructor(
    readonly source: RunSource,
    readonly manifest: Manifest,
    readonly tokenizer: VqaTokenizer,
    /** by file name, the base first */
    readonly weights: ReadonlyMap<string, Blob>,
    private choice: Choice,
    private readonly options: LoadOptions,
  ) {}

  /** What computes now. */
  get device(): Choice {
    return this.choice;
  }

  get adapterNames(): string[] {
    return [...this.adapters.keys()];
  }

  /**
   * Answers a question about an image (PNG, JPEG, WebP or pixels).
   *
   * @example (await model.answer(file, 'Is there a pleural effusion?')).answer // 'no'
   * @throws {FileError} for a file that is no image; {UserError} for an empty question or an unknown adapter.
   */
  async answer(image: Blob | RgbImage, question: string, options: AskOptions = {}): Promise<Answer> {
    return this.answerPlanes(await this.planesOf(image), question, options);
  }

  /** The image at the model's size, uint8 [3, side, side]: what {@link answerPlanes} takes any number of times. */
  async planesOf(image: Blob | RgbImage): Promise<Uint8Array> {
    const { imageSize } = this.manifest.config;
    const pixels = image instanceof Blob ? await decodeImage(image) : image;
    return toPlanes(resizeImage(pixels, imageSize, imageSize));
  }

  async answerPlanes(
    planes: Uint8Array,
    question: string,
    { adapter = OWN, beams = 3 }: AskOptions = {},
  ): Promise<Answer> {
    const { feeds } = this.adapter(adapter);
    const { text } = this.manifest;
    const { ids } = this.tokenizer.encodeQuestion(question, text.maxQuestionTokens);
    const sample = { qid: 'question', imageId: 'image', questionIds: ids, answerIds: [] };
    const pixels = this.pixelValues(planes);
    return inTurn(async () => {
      const started = performance.now();
      const [found] = await this.onDevice((sessions) => {
        const answerer = new Answerer(sessions, this.manifest.config, feeds);
        return predict(answerer, [sample], () => pixels, { tokenizer: this.tokenizer, beams });
      });
      return {
        answer: found!.answer,
        probability: found!.probability,
        beams: found!.beams.map(({ answer, probability }) => ({ answer, probability })),
        device: this.choice.device,
        milliseconds: performance.now() - started,
        notice: NOTICE,
      };
    });
  }

  /** float32 [3, side, side], normalised */
  pixelValues(planes: Uint8Array): Float32Array {
    const { config, image } = this.manifest;
    return toPixelValues(planes, config.imageSize, config.imageSize, normalisations[image.normalisation]);
  }

  /**
   * Loads an adapter folder in PEFT's format under a name; no session is opened again.
   *
   * @throws {FileError} for files that are no adapter, or one of another method or other sites.
   */
  async loadAdapter(name: string, source: RunSource | string): Promise<void> {
    const from = typeof source === 'string' ? httpSource(source) : source;
    const { modules, tensors } = await readAdapter(from);
    checkTensors(tensors, this.manifest, from.name);
    this.setAdapter(name, tensors, { name, modules });
  }

  /** Trained tensors by reference name, as a training gives them; `variant` has their alpha and rank. */
  setAdapter(name: string, tensors: NamedTensors, variant: Variant = this.manifest.variant): void {
    const feeds = servedFeeds(tensors, variant, this.manifest.config.textHeads);
    this.adapters.set(name, { feeds, tensors, variant });
  }

  /** @throws {UserError} when none has this name. */
  private adapter(name: string): LoadedAdapter {
    const found = this.adapters.get(name);
    if (found) return found;
    throw new UserError(`no adapter '${name}'`, 'adapter', `choose from ${this.adapterNames.join(', ')}`);
  }

  /** Where the answer to a question comes from, on planes of {@link planesOf}. Takes as long as twenty answers. */
  async explainPlanes(
    planes: Uint8Array,
    question: string,
    { adapter = OWN }: Pick<AskOptions, 'adapter'> = {},
  ): Promise<ExplainedAnswer> {
    const loaded = this.adapter(adapter);
    const { explainPlanes } = await import('./explain.js'); // few questions need it
    return inTurn(() => explainPlanes(this, planes, question, loaded));
  }

  /**
   * Fine-tunes on a table of questions and its images; the result becomes the adapter `name`.
   *
   * @example const { zip } = await model.train({ table: csvFile, images: imageFiles });
   * @throws {FileError} for a table that cannot be read; {UserError} for a missing image.
   */
  async train(request: TrainRequest): Promise<Trained> {
    const { train } = await import('./training/train.js'); // pages that only answer do not load it
    return train(this, request);
  }

  /** Answers with tensors of a training, without naming them. Call it in turn. */
  withTensors<T>(
    tensors: NamedTensors,
    work: (answerer: Answerer) => Promise<T>,
    variant: Variant = this.manifest.variant,
  ): Promise<T> {
    const { config } = this.manifest;
    const feeds = servedFeeds(tensors, variant, config.textHeads);
    return this.onDevice((sessions) => work(new Answerer(sessions, config, feeds)));
  }

  /** What the run was trained to, by reference name. */
  trained(): Promise<NamedTensors> {
    const [base] = this.weights.values();
    return readTrained(this.source, this.manifest, base!);
  }

  /** Opens a graph that was made here, over the run's weights. The caller releases it. */
  openBytes(graph: Uint8Array): Promise<Session> {
    return openOver(graph, this.weights, this.choice);
  }

  /** Opens a graph of the run on the device. The caller releases it. */
  openGraph(role: GraphRole): Promise<Session> {
    const { source, manifest } = this;
    const { device, threads } = this.choice;
    return sharedSession({
      manifest,
      role,
      device,
      threads,
      graph: () => readGraph(source, manifest, role),
      weights: async () => this.weights,
    });
  }

  /** Compiles the graphs of answering. */
  async open(): Promise<void> {
    await inTurn(() => this.onDevice(async () => undefined));
  }

  /** Ends the sessions that no other model uses. */
  async dispose(): Promise<void> {
    await inTurn(() => this.release());
  }

  /** Runs on the chosen device; where that fails and was not asked for by name, again on WebAssembly. */
  async onDevice<T>(work: (sessions: InferenceSessions) => Promise<T>): Promise<T> {
    const { device } = this.choice;
    try {
      this.sessions ??= await this.openSessions();
      return await work(this.sessions);
    } catch (error) {
      if (!(await this.fallBack(device))) throw error;
      this.sessions ??= await this.openSessions();
      return work(this.sessions);
    }
  }

  /**
   * Leaves a device that failed for WebAssembly and says so. False where there is no other: WebAssembly itself, or a
   * device that was asked for by name. Call it in turn.
   */
  async fallBack(failed: WebDevice): Promise<boolean> {
    if (failed === 'wasm' || this.choice.forced) return false;
    if (this.choice.device === 'wasm') return true; // answering or training found it before
    await this.release().catch(() => undefined);
    this.choice = { ...this.choice, device: 'wasm' };
    this.options.onNote?.('device-lost');
    return true;
  }

  private async openSessions(): Promise<InferenceSessions> {
    const opened: Partial<Record<keyof InferenceSessions, Session>> = {};
    const total = Object.keys(roles).length;
    for (const [name, role] of Object.entries(roles) as [keyof InferenceSessions, GraphRole][]) {
      this.options.onProgress?.({ stage: 'compile', done: Object.keys(opened).length, total });
      opened[name] = await this.openGraph(role);
    }
    this.options.onProgress?.({ stage: 'compile', done: total, total });
    return opened as unknown as InferenceSessions;
  }

  private async release(): Promise<void> {
    const sessions = this.sessions;
    this.sessions = undefined;
    for (const session of Object.values(sessions ?? {})) await session.release();
  }
}

/**
 * Loads a run from a web server (the folder's URL) or from files that the user chose.
 *
 * The base weights are kept in the browser's storage and checked against their hash; runs on the same base share
 * them, and runs whose adapters sit on the same sites share their sessions.
 *
 * @example const model = await loadModel('runs/lora-r8');
 * @throws {FileError} for a missing or damaged file; {UserError} when the device does not start.
 */
export async function loadModel(source: string | URL | RunSource, options: LoadOptions = {}): Promise<Model> {
  const from = typeof source === 'string' || source instanceof URL ? httpSource(source) : source;
  const choice = await chooseDevice(options.device, options.threads);
  const manifest = await readManifest(from);
  const tokenizer = await readTokenizer(from);
  const { onProgress, onNote } = options;
  const weights = await readWeights(from, manifest, {
    onProgress: onProgress && ((done, total) => onProgress({ stage: 'download', done, total })),
    onNote,
  });
  const model = new Model(from, manifest, tokenizer, weights, choice, options);
  model.setAdapter(OWN, await model.trained());
  await model.open();
  return model;
}
