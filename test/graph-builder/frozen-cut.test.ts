/** @file The frozen cut: same losses and gradients, no pixels left, nothing kept that is trained or random. */
import { describe, expect, test } from 'vitest';
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { verify } from '../../graph-builder/ir/graph.js';
import {
  type CutLevel,
  cutMiss,
  type FeatureOwner,
  type LossGraphs,
} from '../../graph-builder/models/cuts.js';
import { lossGraph } from '../../graph-builder/models/miss.js';
import { parseVariant } from '../../graph-builder/variant/parse.js';
import { applyVariant, dropoutRates } from '../../graph-builder/variant/variant.js';
import { type Feeds, float32, floats } from '../../runtime/core/session.js';
import { goldenConfig, goldenFeeds, maxDifference, norm, openGraph, readTensors } from '../support/golden.js';
import { variantTensors } from '../support/variants.js';

const base = lossGraph(goldenConfig);
const weights = readTensors('blip/weights.safetensors');

const forwardOf =
  (name: string, placement: string): LossGraphs =>
  (images) =>
    applyVariant(
      lossGraph(goldenConfig, undefined, images),
      parseVariant(name, base.parameters, { placement }),
      'evaluation',
    );

describe.each<[string, string, CutLevel, FeatureOwner]>([
  ['lora-r4', 'F/P/P', 'vit', 'image'],
  ['lora-r4', 'F/P/P', 'kv', 'imageOfQuestion'],
  ['lora-r4', 'F/T/P', 'kv', 'image'],
  ['ia3', 'F/P/P', 'kv', 'imageOfQuestion'],
  ['prefix-n10', 'F/P/P', 'kv', 'imageOfQuestion'],
  ['ptv2-n10', 'F/F/P', 'vit', 'image'],
  ['ptv2-n10', 'F/F/P', 'kv', 'question'],
])('%s at %s, %s', (name, placement, level, per) => {
  const graphs = forwardOf(name, placement);
  const forward = verify(graphs('images'));
  const cut = cutMiss(graphs, level)!;

  test('the features are fed, the pixels are not', () => {
    expect(cut.per).toBe(per);
    expect(verify(cut.rest).inputs.map((v) => v.name)).not.toContain('pixel_values');
    expect(verify(cut.frozen).parameters.every((p) => !p.trainable)).toBe(true);
    expect(cut.rest.parameters.some((p) => p.name.startsWith('visual_encoder.'))).toBe(false);
    if (level === 'vit') expect(cut.features.map((f) => f.size)).toEqual([17 * 64]);
  });

  test('loss and gradients are those of the whole graph', async () => {
    const feeds: Feeds = { ...weights, ...variantTensors(name), ...goldenFeeds() };
    const whole = await openGraph(verify(differentiate(forward, { loss: forward.outputs.loss! })));
    const frozen = await openGraph(cut.frozen);
    const rest = await openGraph(verify(differentiate(cut.rest, { loss: cut.rest.outputs.loss! })));
    const expected = await whole.run(feeds);
    const features = await frozen.run(feeds);
    // one row an item, whatever the batch: the images are put together again in another order
    const { dims } = features['feature.0']!;
    expect(dims[0]).toBe(per === 'question' ? 4 * feeds.question_ids!.dims[1]! : 4);
    const found = await rest.run({ ...feeds, ...features });
    expect(floats(found.loss)[0]).toBeCloseTo(floats(expected.loss)[0]!, 5);
    for (const [output, tensor] of Object.entries(expected)) {
      if (!output.endsWith('.grad')) continue;
      const difference = maxDifference(floats(found[output]), floats(tensor));
      expect(difference, output).toBeLessThanOrEqual(1e-5 * norm(floats(tensor)) + 1e-7);
    }
    for (const session of [whole, frozen, rest]) await session.release();
  });
});

test('rows of features belong to their items', async () => {
  const cut = cutMiss(forwardOf('lora-r4', 'F/P/P'), 'kv')!;
  const frozen = await openGraph(cut.frozen);
  const pixels = goldenFeeds().pixel_values!;
  const size = pixels.data.length / 4;
  const together = await frozen.run({ ...weights, pixel_values: pixels });
  const third = float32(floats(pixels).slice(2 * size, 3 * size), [1, ...pixels.dims.slice(1)]);
  const alone = await frozen.run({ ...weights, pixel_values: third });
  for (const { name, size: width } of cut.features) {
    const row = floats(together[name]).slice(2 * (width as number), 3 * (width as number));
    expect(maxDifference(floats(alone[name]), row), name).toBeLessThan(1e-5);
  }
  await frozen.release();
});

test.each([
  ['T/P/P', false],
  ['P/P/P', false],
  ['F/P/P', true],
])('nothing is cut at %s with dropout in frozen modules: %s', (placement, frozenToo) => {
  const variant = parseVariant('lora-r4', base.parameters, { placement });
  const noisy: LossGraphs = (images) =>
    applyVariant(lossGraph(goldenConfig, dropoutRates(variant, 0.1, frozenToo), images), variant, 'training');
  expect(cutMiss(noisy, 'vit')).toBeUndefined();
  expect(cutMiss(noisy, 'kv')).toBeUndefined();
});
