/** @file miss-tiny's training step beside its bare products. */
import { INITIAL_LOSS_SCALE } from '../../runtime/core/trainer.js';
import { BareProducts, bareTime } from './bare-products.js';
import { alternate, type BenchOptions, median } from './measure.js';
import { countProducts, totalFlops } from './products.js';
import { openGraph } from './sessions.js';
import type { Row, Section } from './table.js';
import { TimedTrainer, tinyBatch, tinyGraph } from './tiny-step.js';

const BATCH = 32;
const variants = [
  ['lora-r8', 'F/P/P'],
  ['lora-r8', 'T/T/P'],
  ['full', undefined],
] as const;

async function measure(
  name: string,
  placement: string | undefined,
  { repeats, threads }: BenchOptions,
): Promise<Row> {
  const graph = tinyGraph(name, placement);
  const feeds = tinyBatch(BATCH);
  const products = countProducts(graph, feeds);
  const bare = await BareProducts.open(products, { threads });
  const session = await openGraph(graph, { threads });
  const trainer = new TimedTrainer(graph, session, INITIAL_LOSS_SCALE);
  const graphTimes: number[] = [];
  const step = async () => {
    await trainer.step(feeds);
    graphTimes.push(trainer.graphMs);
  };
  const timings = await alternate({ ...bare.things(), step }, repeats);
  await bare.release();
  await session.release();
  const ms = timings.step!.medianMs;
  const graphMs = median(graphTimes);
  const flops = totalFlops(products);
  const bareMs = bareTime(products, timings, 'medianMs');
  return {
    variant: placement ? `${name} ${placement}` : name,
    'ms/step': ms,
    'samples/s': (1000 * BATCH) / ms,
    'graph ms': graphMs,
    'GFLOP/s': flops / graphMs / 1e6,
    'bare ms': bareMs,
    'bare GFLOP/s': flops / bareMs / 1e6,
    'bare/graph': bareMs / graphMs,
    'by minima': bareTime(products, timings, 'minMs') / Math.min(...graphTimes),
  };
}

/** One row a variant. */
export async function trainingStep(options: BenchOptions): Promise<Section> {
  const rows: Row[] = [];
  for (const [name, placement] of variants) rows.push(await measure(name, placement, options));
  return { title: `miss-tiny training step, batch ${BATCH}`, rows };
}
