/** @file What the tests of imports share: the tiny configuration of test/oracles/weights, imports, feeds. */

import type { MissConfig } from '../../../graph-builder/models/config.js';
import { lossGraph } from '../../../graph-builder/models/miss.js';
import { type Feeds, float32, int32, int64, type Tensor } from '../../../runtime/core/session.js';
import { type ImportOptions, importWeights } from '../../../training-artifacts/weights/import-weights.js';
import { oracle } from '../../support/golden.js';
import { path } from './support.js';

export const tiny: MissConfig = {
  imageSize: 16,
  patchSize: 8,
  hidden: 16,
  intermediate: 32,
  visionLayers: 1,
  visionHeads: 2,
  textLayers: 1,
  textHeads: 2,
  vocab: 40,
  maxPositions: 12,
  labelSmoothing: 0.1,
};

let made = 0;

/** Imports golden files (or absolute paths) into a file of the test's folder. */
export async function importInto(
  sources: readonly string[],
  { config = tiny, ...options }: Partial<ImportOptions> = {},
) {
  const out = path(`imported-${made++}.safetensors`);
  const { parameters } = lossGraph(config);
  const files = sources.map((source) => (source.startsWith('/') ? source : oracle(`weights/${source}`)));
  const defaults = { preset: 'test', dtype: 'float32', seed: 0, strict: false } as const;
  const plan = await importWeights(files, { ...defaults, config, parameters, out, ...options });
  return { plan, out };
}

const numbers = (t: Tensor): number[] => Array.from(t.data, Number);

/** A text's ids and mask as the graphs take them. */
export function textFeeds(
  kind: 'question' | 'answer',
  ids: Tensor,
  mask: Tensor,
  { textHeads, hidden }: MissConfig = tiny,
): Feeds {
  const [batch, tokens] = ids.dims as [number, number];
  const positions = Array.from({ length: batch * tokens }, (_, i) => i % tokens);
  return {
    [`${kind}_ids`]: int32(numbers(ids), [batch, tokens]),
    [`${kind}_mask`]: int32(numbers(mask), [batch, tokens]),
    [`${kind}_position_ids`]: int32(positions, [batch, tokens]),
    [`${kind}_shape`]: int64([batch, tokens, textHeads, hidden / textHeads]),
    [`${kind}_token_shape`]: int64([batch, tokens]),
  };
}

/** Each question has the image of its own number. */
export const ownImages = (count: number): Tensor =>
  float32(
    Float32Array.from({ length: count * count }, (_, i) => (i % (count + 1) === 0 ? 1 : 0)),
    [count, count],
  );
