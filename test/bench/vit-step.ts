/** @file The whole image encoder of miss-base with LoRA, as P/P/P trains it: forward, and forward and backward. */
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { prune, verify } from '../../graph-builder/ir/graph.js';
import { leavesLast } from '../../graph-builder/ir/order.js';
import type { Graph } from '../../graph-builder/ir/types.js';
import { imageTokens, presetConfig } from '../../graph-builder/models/config.js';
import { imageEncoder } from '../../graph-builder/models/vit.js';
import { recompute } from '../../graph-builder/rewrites/recompute.js';
import type { Feeds } from '../../runtime/core/session.js';
import { besideBare, loraPart } from './beside-bare.js';
import type { BenchOptions } from './measure.js';
import { noise, unscaled } from './sessions.js';
import type { Section } from './table.js';

const config = presetConfig('miss-base');
const { imageSize, hidden, visionLayers } = config;

const forwardGraph = (): Graph =>
  loraPart('lora-r8', 'paper', (g) => {
    const tokens = imageTokens(config);
    const y = imageEncoder(
      g,
      g.input('pixel_values', 'float32', ['images', 3, imageSize, imageSize]),
      config,
    );
    const dy = g.reshape(g.input('dy', 'float32', ['images', tokens, hidden]), y.shape);
    return { y, dy };
  });

/** The encoder's graphs; `trained` is `both` in the form that training has. */
export function vitGraphs(): { forward: Graph; both: Graph; trained: Graph } {
  const forward = forwardGraph();
  const both = prune(verify(differentiate(forward, { loss: forward.outputs.loss! })));
  return { forward: prune(verify(forward)), both, trained: leavesLast(recompute(both, 'selective')) };
}

export const vitFeeds = (images: number): Feeds => ({
  pixel_values: noise([images, 3, imageSize, imageSize]),
  dy: noise([images, imageTokens(config), hidden]),
  ...unscaled,
});

/** Measures the encoder beside its bare products. */
export async function vitStep(images: number, options: BenchOptions): Promise<Section> {
  const { forward, both, trained } = vitGraphs();
  const candidates = [
    { what: 'forward', graph: forward },
    { what: 'forward + backward', graph: trained, counted: both },
  ];
  const feeds = vitFeeds(images);
  const rows = await besideBare(candidates, feeds, options);
  const title = `ViT of miss-base, ${visionLayers} layers, LoRA r8, batch ${images} (goal: bare/ms >= 0.85; attention's recomputed products do not count)`;
  return { title, rows };
}
