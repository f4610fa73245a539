/** @file Chooses the frozen cut of a run and feeds batches from it. */
import { createHash } from 'node:crypto';
import { imageTokens } from '../../../graph-builder/models/config.js';
import { type CutLevel, cutLevels, type FeatureOwner } from '../../../graph-builder/models/cuts.js';
import { cutRoles, EVALUATION_CUT } from '../../../training-artifacts/graphs/cut-roles.js';
import type { GraphRole, Manifest } from '../../../training-artifacts/graphs/manifest.js';
import { distinctImages, imageSelection, pixelFeed, type Sample, textFeeds } from '../../core/batch.js';
import { type FeatureItem, FrozenFeatures } from '../../core/features.js';
import { OnDemandSession } from '../../core/on-demand.js';
import { type Feeds, float32, floats, type Tensor } from '../../core/session.js';
import { FileFeatureStore } from '../features/file-store.js';
import type { ImageStore } from '../images.js';
import { openGraph } from '../inference.js';
import { augmentationOf, type TrainOptions } from './options.js';

const GB = 1e9;
/** The arrays of validation batches: those of training are in use. */
const VALIDATION = -1;

/** Numbers of all features of some samples, by level. */
function cutBytes({ cuts }: Manifest, level: CutLevel, samples: readonly Sample[]): number {
  const { per, features } = cuts[level]!;
  const texts = samples.flatMap(({ questionIds, wordings = [questionIds] }) => wordings);
  const tokens = per === 'question' ? texts.map((ids) => ids.length) : [];
  const items = per === 'question' ? texts.length : distinctImages(samples).length;
  const totalTokens = tokens.reduce((a, b) => a + b, 0);
  return 4 * features.reduce((n, { size, perToken }) => n + size * (perToken ? totalTokens : items), 0);
}

/** The question's tokens are part of it: each wording of a question has features of its own. */
const questionKey = (imageHash: string, { questionIds }: Sample): string =>
  createHash('sha256').update(`${imageHash} ${questionIds}`).digest('hex').slice(0, 32);

/** Feeds of frozen features for batches of one run. */
export class FrozenInputs {
  private constructor(
    readonly level: CutLevel,
    private readonly features: FrozenFeatures,
    private readonly session: OnDemandSession,
    private readonly store: FileFeatureStore,
    private readonly manifest: Manifest,
    private readonly images: ImageStore,
  ) {}

  /** Graph that trains on the features. */
  get role(): GraphRole {
    return cutRoles[this.level].training;
  }

  static open(
    run: string,
    manifest: Manifest,
    level: CutLevel,
    { threads, cacheGb }: TrainOptions,
    images: ImageStore,
  ): FrozenInputs {
    const role = cutRoles[level].frozen;
    const { normalisation } = manifest.image;
    const { sha256, int8 } = manifest.weights;
    const group = [manifest.graphs[role]!.sha256, sha256, normalisation, ...(int8 ? [int8.sha256] : [])];
    const store = new FileFeatureStore(group, cacheGb * GB);
    // hundreds of image tokens gain little by packed copies of the weights, which each item needs once
    const session = new OnDemandSession(() => openGraph(run, manifest, role, { threads, prepacking: false }));
    const features = new FrozenFeatures(session, store, manifest.cuts[level]!.features);
    return new FrozenInputs(level, features, session, store, manifest, images);
  }

  private get per(): FeatureOwner {
    return this.manifest.cuts[this.level]!.per;
  }

  /** What the batch's rows of images are. */
  imageRows(samples: readonly Sample[]): string[] {
    return this.per === 'imageOfQuestion' ? samples.map((s) => s.imageId) : distinctImages(samples);
  }

  /** All feeds of a batch but seeds and labels that come from the frozen modules. */
  async feeds(samples: readonly Sample[], tokens: number, slot = 0): Promise<Feeds> {
    if (this.per !== 'question') return this.imageFeeds(this.imageRows(samples), slot);
    const hashes = await this.images.hashesOf(samples.map((s) => s.imageId));
    const items = samples.map(
      (s, i): FeatureItem => ({ key: questionKey(hashes[i]!, s), tokens: s.questionIds.length }),
    );
    const questions = (indices: readonly number[]) => this.questionFeeds(indices.map((i) => samples[i]!));
    return this.features.feeds(items, tokens, questions, slot);
  }

  private async imageFeeds(ids: readonly string[], slot: number): Promise<Feeds> {
    const keys = await this.images.hashesOf(ids);
    const items = keys.map((key): FeatureItem => ({ key, tokens: 1 }));
    const pixels = async (indices: readonly number[]) => ({
      pixel_values: pixelFeed(await this.images.several(indices.map((i) => ids[i]!)), this.manifest.config),
    });
    return this.features.feeds(items, 1, pixels, slot);
  }

  /** Level vit: what a validation batch feeds in place of its distinct images. */
  validationFeeds = (samples: readonly Sample[]): Promise<Feeds> =>
    this.imageFeeds(distinctImages(samples), VALIDATION);

  /** Level vit: the image encoder's output, [images, tokens, hidden]. */
  imageStates = async (ids: readonly string[]): Promise<Tensor> => {
    const { config } = this.manifest;
    const [states] = Object.values(await this.imageFeeds(ids, VALIDATION));
    return float32(floats(states), [ids.length, imageTokens(config), config.hidden]);
  };

  /** Gives back what the frozen graph takes of the memory; it comes again should an item be missing. */
  releaseGraph = (): Promise<void> => this.session.release();

  /** What the frozen part took so far, for the log. */
  get summary(): { items: number; seconds: number; diskBytes: number; folder: string } {
    const { items, ms } = this.features.computed;
    return { items, seconds: ms / 1000, diskBytes: this.store.sizeBytes, folder: this.store.folder };
  }

  private async questionFeeds(samples: readonly Sample[]): Promise<Feeds> {
    const { config } = this.manifest;
    const ids = distinctImages(samples);
    return {
      pixel_values: pixelFeed(await this.images.several(ids), config),
      image_selection: imageSelection(
        samples.map((s) => ids.indexOf(s.imageId)),
        ids.length,
      ),
      ...textFeeds(
        'question',
        samples.map((s) => s.questionIds),
        config,
      ),
    };
  }
}

/**
 * The kept output of the image encoder for validation, where training keeps something of the image: also at level kv,
 * whose features no serving graph takes. Undefined for a run that was built without the graph for it.
 */
export function validationInputs(
  run: string,
  manifest: Manifest,
  options: TrainOptions,
  training: FrozenInputs,
  images: ImageStore,
): FrozenInputs | undefined {
  if (!manifest.graphs[EVALUATION_CUT] || !manifest.cuts.vit) return undefined;
  return training.level === 'vit' ? training : FrozenInputs.open(run, manifest, 'vit', options, images);
}

export interface ChosenCut {
  readonly inputs: FrozenInputs | undefined;
  readonly note: string | undefined;
}

const gigabytes = (bytes: number): string => `${(bytes / GB).toFixed(2)} GB`;

/**
 * The cut that the options ask for. `auto` takes the largest that fits the cache if reading it is measured to be
 * faster than computing it, else the next.
 *
 * @throws {UserError} for a level that the run does not have.
 */
export async function chooseCut(
  run: string,
  manifest: Manifest,
  options: TrainOptions,
  samples: readonly Sample[],
  images: ImageStore,
): Promise<ChosenCut> {
  const none = (note?: string): ChosenCut => ({ inputs: undefined, note });
  const { cut, cacheGb } = options;
  const available = cutLevels.filter((level) => manifest.cuts[level]);
  if (cut === 'none' || (available.length === 0 && cut === 'auto')) return none();
  if (augmentationOf(options))
    return none('--augment changes the images at every visit: frozen modules are computed each time');
  if (available.length === 0) return none('no module is frozen and free of dropout: nothing is kept');
  if (cut !== 'auto' && !available.includes(cut)) return none(`nothing can be kept at --cut ${cut}`);
  const fits = (level: CutLevel) => cutBytes(manifest, level, samples) <= cacheGb * GB;
  const wanted = cut === 'auto' ? available.filter(fits).reverse() : [cut];
  if (wanted.length === 0)
    return none(
      `frozen features need ${gigabytes(cutBytes(manifest, 'vit', samples))}: raise --cache-gb to keep them`,
    );
  const open = (level: CutLevel) => FrozenInputs.open(run, manifest, level, options, images);
  let inputs = open(wanted[0]!);
  if (wanted.length > 1 && !(await readsFaster(inputs, samples))) {
    await inputs.releaseGraph();
    inputs = open(wanted[1]!);
  }
  const size = gigabytes(cutBytes(manifest, inputs.level, samples));
  const { folder } = inputs.summary;
  return {
    inputs,
    note: `--cut ${inputs.level}: frozen features are computed once and read from ${folder} (${size})`,
  };
}

/** Whether reading the features of one item takes less time than computing them. */
async function readsFaster(inputs: FrozenInputs, samples: readonly Sample[]): Promise<boolean> {
  const one = samples.slice(0, 1);
  const timed = async () => {
    const started = performance.now();
    await inputs.feeds(one, one[0]!.questionIds.length);
    return performance.now() - started;
  };
  await timed(); // computed, or read and checked
  const { items, seconds } = inputs.summary;
  // an entry of an earlier run: somebody found it worth keeping
  return items === 0 || (await timed()) < 1000 * seconds;
}
