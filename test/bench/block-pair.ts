/** @file Two ViT-B blocks with LoRA at 901 tokens: forward, and forward and backward. */
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { prune, verify } from '../../graph-builder/ir/graph.js';
import type { Graph } from '../../graph-builder/ir/types.js';
import { imageTokens, presetConfig } from '../../graph-builder/models/config.js';
import { block } from '../../graph-builder/models/vit.js';
import type { Feeds } from '../../runtime/core/session.js';
import { besideBare, loraPart } from './beside-bare.js';
import type { BenchOptions } from './measure.js';
import { profileByOperator } from './profile.js';
import { noise, unscaled, weightFeeds } from './sessions.js';
import type { Section } from './table.js';

const config = presetConfig('miss-base');
const BLOCKS = 2;

const pairGraph = (): Graph =>
  loraPart('lora-r8', '**', (g) => {
    const tokens = imageTokens(config);
    const shape = ['images', tokens, config.hidden];
    const rows = [`${tokens}*images`, config.hidden];
    let y = g.reshape(g.input('hidden_states', 'float32', shape), rows);
    for (let layer = 0; layer < BLOCKS; layer++) y = block(g, y, 'images', config, layer, 0);
    return { y, dy: g.reshape(g.input('dy', 'float32', shape), rows) };
  });

/** The pair's graphs; the second has the gradients of all adapters. */
export function pairGraphs(): { forward: Graph; both: Graph } {
  const forward = pairGraph();
  const both = prune(verify(differentiate(forward, { loss: forward.outputs.loss! })));
  return { forward: prune(verify(forward)), both };
}

function feedsOf(images: number): Feeds {
  const dims = [images, imageTokens(config), config.hidden];
  return { hidden_states: noise(dims), dy: noise(dims), ...unscaled };
}

/** Measures the pair beside its bare products. */
export async function blockPair(images: number, options: BenchOptions): Promise<Section> {
  const { forward, both } = pairGraphs();
  const candidates = [
    { what: 'forward', graph: forward },
    { what: 'forward + backward', graph: both },
  ];
  const rows = await besideBare(candidates, feedsOf(images), options);
  return { title: `ViT-B block pair, 901 tokens, LoRA r8, batch ${images} (goal: bare/ms >= 0.8)`, rows };
}

/** Where the pair's time goes. */
export const profilePair = (images: number): Promise<Section> =>
  profileByOperator('ViT-B block pair, forward + backward', pairGraphs().both, (graph) => ({
    ...feedsOf(images),
    ...weightFeeds(graph),
  }));
