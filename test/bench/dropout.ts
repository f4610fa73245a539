/** @file What the random masks cost: a training step with and without dropout, in turn. */
import { INITIAL_LOSS_SCALE } from '../../runtime/core/trainer.js';
import { alternate, type BenchOptions } from './measure.js';
import { openGraph } from './sessions.js';
import type { Row, Section } from './table.js';
import { TimedTrainer, tinyBatch, tinyGraph } from './tiny-step.js';

const BATCH = 32;
const variants = [
  ['lora-r8', 'F/P/P'],
  ['lora-r8', 'T/T/P'],
  ['prefix-n10', 'F/P/P'],
  ['full', undefined],
] as const;

async function measure(name: string, placement: string | undefined, options: BenchOptions): Promise<Row> {
  const { repeats, threads } = options;
  const feeds = tinyBatch(BATCH);
  const open = async (dropout: boolean) => {
    const graph = tinyGraph(name, placement, dropout);
    const session = await openGraph(graph, { threads });
    const trainer = new TimedTrainer(graph, session, INITIAL_LOSS_SCALE);
    return { step: () => trainer.step(feeds), session };
  };
  const [on, off] = [await open(true), await open(false)];
  const { withDropout, without } = await alternate({ withDropout: on.step, without: off.step }, repeats);
  await on.session.release();
  await off.session.release();
  return {
    variant: placement ? `${name} ${placement}` : name,
    'with ms': withDropout.medianMs,
    'without ms': without.medianMs,
    'with/without': withDropout.medianMs / without.medianMs,
    'by minima': withDropout.minMs / without.minMs,
  };
}

/** One row a variant. */
export async function dropoutCost(options: BenchOptions): Promise<Section> {
  const rows: Row[] = [];
  for (const [name, placement] of variants) rows.push(await measure(name, placement, options));
  return { title: `miss-tiny training step, batch ${BATCH}, dropout 0.1 everywhere against none`, rows };
}
