/** @file Feeds of frozen features for batches in the browser. */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { type CutLevel, cutLevels, type FeatureOwner } from '../../../graph-builder/models/cuts.js';
import { cutRoles } from '../../../training-artifacts/graphs/cut-roles.js';
import type { GraphRole, Manifest } from '../../../training-artifacts/graphs/manifest.js';
import { distinctImages, imageSelection, pixelFeed, type Sample, textFeeds } from '../../core/batch.js';
import { FrozenFeatures } from '../../core/features.js';
import type { Feeds, Session } from '../../core/session.js';
import type { Model } from '../model.js';
import { WebFeatureStore } from './feature-store.js';

/** Largest size of the kept features: browsers give a page some share of the free disk. */
const MAX_BYTES = 1e9;

const keyOf = (bytes: Uint8Array): string => bytesToHex(sha256(bytes)).slice(0, 32);

/** Largest size of a step's features, which lie in JavaScript's and in WebAssembly's memory. */
const MAX_STEP_BYTES = 3e8;

/** Bytes of the features of some items with their tokens. */
const bytesOf = ({ cuts }: Manifest, level: CutLevel, items: number, tokens: number): number =>
  4 * cuts[level]!.features.reduce((n, { size, perToken }) => n + size * (perToken ? tokens : items), 0);

/** The level that saves most and fits; undefined: nothing is frozen. */
export function chooseLevel(
  manifest: Manifest,
  samples: readonly Sample[],
  batchSize: number,
): CutLevel | undefined {
  const fits = (level: CutLevel): boolean => {
    const isOfImage = manifest.cuts[level]!.per !== 'question';
    const items = isOfImage ? distinctImages(samples).length : samples.length;
    const tokens = isOfImage ? 0 : samples.reduce((n, s) => n + s.questionIds.length, 0);
    const longest = Math.max(...samples.map((s) => s.questionIds.length));
    return (
      bytesOf(manifest, level, items, tokens) <= MAX_BYTES &&
      bytesOf(manifest, level, batchSize, batchSize * longest) <= MAX_STEP_BYTES
    );
  };
  return [...cutLevels].reverse().find((level) => manifest.cuts[level] && fits(level));
}

export class FrozenInputs {
  private readonly features: FrozenFeatures;

  private constructor(
    private readonly model: Model,
    readonly level: CutLevel,
    private readonly planes: ReadonlyMap<string, Uint8Array>,
    private readonly session: Session,
    private readonly store: WebFeatureStore,
  ) {
    this.features = new FrozenFeatures(session, store, model.manifest.cuts[level]!.features);
  }

  static async open(
    model: Model,
    level: CutLevel,
    planes: ReadonlyMap<string, Uint8Array>,
  ): Promise<FrozenInputs> {
    const { manifest } = model;
    const role = cutRoles[level].frozen;
    const group = [manifest.graphs[role]!.sha256, manifest.weights.sha256, manifest.image.normalisation];
    const session = await model.openGraph(role);
    const store = await WebFeatureStore.open(keyOf(new TextEncoder().encode(group.join())));
    return new FrozenInputs(model, level, planes, session, store);
  }

  /** Graph that trains on the features. */
  get role(): GraphRole {
    return cutRoles[this.level].training;
  }

  get per(): FeatureOwner {
    return this.model.manifest.cuts[this.level]!.per;
  }

  /** What the batch's rows of images are. */
  imageRows(samples: readonly Sample[]): string[] {
    return this.per === 'imageOfQuestion' ? samples.map((s) => s.imageId) : distinctImages(samples);
  }

  feeds(samples: readonly Sample[], tokens: number, slot = 0): Promise<Feeds> {
    if (this.per !== 'question') {
      const ids = this.imageRows(samples);
      const items = ids.map((id) => ({ key: keyOf(this.planes.get(id)!), tokens: 1 }));
      return this.features.feeds(items, 1, (at) => this.pixels(at.map((i) => ids[i]!)), slot);
    }
    const items = samples.map((s) => ({
      key: keyOf(new TextEncoder().encode(`${keyOf(this.planes.get(s.imageId)!)} ${s.questionIds}`)),
      tokens: s.questionIds.length,
    }));
    return this.features.feeds(items, tokens, (at) => this.questions(at.map((i) => samples[i]!)), slot);
  }

  async release(): Promise<void> {
    this.store.close();
    await this.session.release();
  }

  private pixels(ids: readonly string[]): Feeds {
    const images = ids.map((id) => this.model.pixelValues(this.planes.get(id)!));
    return { pixel_values: pixelFeed(images, this.model.manifest.config) };
  }

  private questions(samples: readonly Sample[]): Feeds {
    const { config } = this.model.manifest;
    const ids = distinctImages(samples);
    const imageOf = samples.map((s) => ids.indexOf(s.imageId));
    return {
      ...this.pixels(ids),
      image_selection: imageSelection(imageOf, ids.length),
      ...textFeeds(
        'question',
        samples.map((s) => s.questionIds),
        config,
      ),
    };
  }
}
