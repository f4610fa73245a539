/** @file Two ViT-B blocks with LoRA at 901 tokens: forward, and forward and backward. */
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { GraphBuilder } from '../../graph-builder/ir/builder.js';
import { prune, verify } from '../../graph-builder/ir/graph.js';
import type { Graph } from '../../graph-builder/ir/types.js';
import { imageTokens, presetConfig } from '../../graph-builder/models/config.js';
import { block } from '../../graph-builder/models/vit.js';
import { setTrainable } from '../../graph-builder/rewrites/freeze.js';
import { lora } from '../../graph-builder/rewrites/lora.js';
import { type Feeds, float32 } from '../../runtime/core/session.js';
import { BareProducts, bareTime } from './bare-products.js';
import { alternate, type BenchOptions, type Measured } from './measure.js';
import { countProducts, type ProductSize, totalFlops } from './products.js';
import { profileByOperator } from './profile.js';
import { openGraph, weightFeeds } from './sessions.js';
import type { Section } from './table.js';

const config = presetConfig('miss-base');
const BLOCKS = 2;
const RANK = 8;

/** loss = Σ y·dy of the pair's result: what comes back from the layers above is `dy`. */
function pairGraph(): Graph {
  const g = new GraphBuilder();
  const tokens = imageTokens(config);
  const shape = ['images', tokens, config.hidden];
  const rows = [`${tokens}*images`, config.hidden];
  let x = g.reshape(g.input('hidden_states', 'float32', shape), rows);
  for (let layer = 0; layer < BLOCKS; layer++) x = block(g, x, 'images', config, layer, 0);
  const dy = g.reshape(g.input('dy', 'float32', shape), rows);
  const frozen = setTrainable(g.finish({ loss: g.reduceSum(g.mul(x, dy), [0, 1]) }), () => false);
  const weights = frozen.parameters.filter((p) => p.shape.length === 2);
  const settings = lora.parse(`lora-r${RANK}`, { sites: '**' }, weights)!;
  return lora.insert(frozen, settings, 'evaluation');
}

/** The pair's graphs; the second has the gradients of all adapters. */
export function pairGraphs(): { forward: Graph; both: Graph } {
  const forward = pairGraph();
  const both = prune(verify(differentiate(forward, { loss: forward.outputs.loss! })));
  return { forward: prune(verify(forward)), both };
}

function feedsOf(images: number): Feeds {
  const dims = [images, imageTokens(config), config.hidden];
  const noise = () =>
    float32(
      Float32Array.from({ length: dims.reduce((p, n) => p * n, 1) }, () => Math.random() - 0.5),
      dims,
    );
  return { hidden_states: noise(), dy: noise(), loss_scale: float32(Float32Array.of(1), []) };
}

/** Measures the pair beside its bare products. */
export async function blockPair(images: number, { repeats, threads }: BenchOptions): Promise<Section> {
  const graphs = pairGraphs();
  const feeds = { ...feedsOf(images), ...weightFeeds(graphs.both) };
  const entries = Object.entries(graphs).map(([name, graph]) => ({
    name,
    graph,
    products: countProducts(graph, feeds),
  }));
  const sizes = new Map<string, ProductSize>(
    entries.flatMap(({ products }) => products).map((s) => [`${s.rows},${s.k},${s.n}`, s]),
  );
  const bare = await BareProducts.open([...sizes.values()], { threads });
  const things: Record<string, Measured> = bare.things();
  const sessions = await Promise.all(entries.map(({ graph }) => openGraph(graph, { threads })));
  entries.forEach(({ name }, i) => {
    things[name] = () => sessions[i]!.run(feeds);
  });
  const timings = await alternate(things, repeats);
  await bare.release();
  for (const session of sessions) await session.release();
  const rows = entries.map(({ name, products }) => {
    const ms = timings[name]!.medianMs;
    const bareMs = bareTime(products, timings, 'medianMs');
    const flops = totalFlops(products);
    return {
      what: name === 'both' ? 'forward + backward' : 'forward',
      ms,
      'GFLOP/s': flops / ms / 1e6,
      'bare ms': bareMs,
      'bare GFLOP/s': flops / bareMs / 1e6,
      'bare/ms': bareMs / ms,
      'by minima': bareTime(products, timings, 'minMs') / timings[name]!.minMs,
    };
  });
  return { title: `ViT-B block pair, 901 tokens, LoRA r8, batch ${images} (goal: bare/ms >= 0.8)`, rows };
}

/** Where the pair's time goes. */
export const profilePair = (images: number): Promise<Section> =>
  profileByOperator('ViT-B block pair, forward + backward', pairGraphs().both, (graph) => ({
    ...feedsOf(images),
    ...weightFeeds(graph),
  }));
