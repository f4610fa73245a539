/** @file Graphs measured beside the bare matrix products that they contain: how close they are to the machine's limit. */
import { GraphBuilder } from '../../graph-builder/ir/builder.js';
import type { Graph, Value } from '../../graph-builder/ir/types.js';
import { setTrainable } from '../../graph-builder/rewrites/freeze.js';
import { lora } from '../../graph-builder/rewrites/lora.js';
import type { Feeds } from '../../runtime/core/session.js';
import { BareProducts, bareTime } from './bare-products.js';
import { alternate, type BenchOptions, type Measured } from './measure.js';
import { countProducts, type ProductSize, totalFlops } from './products.js';
import { openGraph, weightFeeds } from './sessions.js';
import type { Row } from './table.js';

/**
 * A part of a model with LoRA on its sites, and loss = Σ y·dy of its result y: what comes back from the layers above is
 * the input `dy`.
 */
export function loraPart(
  name: string,
  sites: string,
  make: (g: GraphBuilder) => { readonly y: Value; readonly dy: Value },
): Graph {
  const g = new GraphBuilder();
  const { y, dy } = make(g);
  const frozen = setTrainable(g.finish({ loss: g.reduceSum(g.mul(y, dy), [0, 1]) }), () => false);
  const settings = lora.parse(name, { sites }, frozen.parameters)!;
  return lora.insert(frozen, settings, 'evaluation');
}

export interface Candidate {
  readonly what: string;
  /** that is run */
  readonly graph: Graph;
  /** whose products count; default: the same. Products that recomputation repeats are no work done */
  readonly counted?: Graph;
}

/** A row each; `bare` is the time of the counted products alone, in the same run. */
export async function besideBare(
  candidates: readonly Candidate[],
  inputs: Feeds,
  { repeats, threads }: BenchOptions,
): Promise<Row[]> {
  const feeds = { ...inputs, ...weightFeeds(candidates.at(-1)!.graph) };
  const entries = candidates.map(({ what, graph, counted = graph }) => ({
    what,
    graph,
    products: countProducts(counted, feeds),
  }));
  const sizes = new Map<string, ProductSize>(
    entries.flatMap(({ products }) => products).map((s) => [`${s.rows},${s.k},${s.n}`, s]),
  );
  const bare = await BareProducts.open([...sizes.values()], { threads });
  const things: Record<string, Measured> = bare.things();
  const sessions = [];
  for (const { what, graph } of entries) {
    const session = await openGraph(graph, { threads });
    sessions.push(session);
    things[what] = () => session.run(feeds);
  }
  const timings = await alternate(things, repeats);
  await bare.release();
  for (const session of sessions) await session.release();
  return entries.map(({ what, products }) => {
    const ms = timings[what]!.medianMs;
    const bareMs = bareTime(products, timings, 'medianMs');
    const flops = totalFlops(products);
    return {
      ...{ what, ms, 'GFLOP/s': flops / ms / 1e6 },
      ...{ 'bare ms': bareMs, 'bare GFLOP/s': flops / bareMs / 1e6, 'bare/ms': bareMs / ms },
      'by minima': bareTime(products, timings, 'minMs') / timings[what]!.minMs,
    };
  });
}
