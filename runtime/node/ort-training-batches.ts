/** @file Real batches of a run's data for its official artifacts. */
import type { Manifest } from '../../training-artifacts/graphs/manifest.js';
import { batchFeeds, distinctImages } from '../core/batch.js';
import { epochOrder } from '../core/sampler.js';
import type { Feeds } from '../core/session.js';
import { type DataOptions, imagePaths, loadData, tokenise } from './data.js';
import { ImageStore } from './images.js';

export interface BatchOptions extends DataOptions {
  readonly batches: number;
  readonly batchSize: number;
  readonly seed: number;
}

export const batchDefaults: BatchOptions = {
  data: 'vqa-rad',
  split: 'official',
  frame: false,
  batches: 20,
  batchSize: 8,
  seed: 0,
};

/** The first batches of training questions in the order of `ort-train`'s first epoch, without augmentation. */
export async function exportBatches(
  manifest: Manifest,
  options: BatchOptions = batchDefaults,
): Promise<readonly Feeds[]> {
  const { batches, batchSize, seed } = options;
  const { dataset, train } = await loadData(options);
  const { samples } = tokenise(train, manifest);
  const chosen = epochOrder(samples, 1, seed, 0).slice(0, batches * batchSize);
  const wanted = new Set(chosen.map((s) => s.qid));
  const images = new ImageStore(manifest.config.imageSize, manifest.image.normalisation);
  await images.load(
    imagePaths(
      dataset,
      train.filter((q) => wanted.has(q.qid)),
    ),
  );
  const ids = distinctImages(chosen);
  const values = await images.several(ids);
  const pixels = new Map(ids.map((id, i) => [id, values[i]!]));
  return Array.from({ length: Math.ceil(chosen.length / batchSize) }, (_, i) => {
    const part = chosen.slice(i * batchSize, (i + 1) * batchSize);
    return batchFeeds(part, (id) => pixels.get(id)!, manifest.config);
  });
}
