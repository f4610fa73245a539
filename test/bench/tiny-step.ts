/** @file A training step of miss-tiny on synthetic samples, as the trainer takes it. */
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { verify } from '../../graph-builder/ir/graph.js';
import { leavesLast } from '../../graph-builder/ir/order.js';
import type { Graph } from '../../graph-builder/ir/types.js';
import { presetConfig } from '../../graph-builder/models/config.js';
import { lossGraph, REFERENCE_DROPOUT } from '../../graph-builder/models/miss.js';
import { parseVariant } from '../../graph-builder/variant/parse.js';
import { applyVariant, dropoutRates } from '../../graph-builder/variant/variant.js';
import { adamWDefaults } from '../../runtime/core/adamw.js';
import { batchFeeds, type Sample, seedFeeds } from '../../runtime/core/batch.js';
import type { Feeds, Session } from '../../runtime/core/session.js';
import { Trainer } from '../../runtime/core/trainer.js';
import { trainableTensors } from './sessions.js';

const config = presetConfig('miss-tiny');

/** The training graph of a variant, its nodes in the order of the files, with the reference's dropout or without any. */
export function tinyGraph(name: string, placement?: string, dropout = true): Graph {
  const base = lossGraph(config);
  const variant = parseVariant(name, base.parameters, {
    ...(placement && { placement }),
    ...(!dropout && { dropout: 0 }),
  });
  const forward = applyVariant(
    lossGraph(config, dropoutRates(variant, dropout ? REFERENCE_DROPOUT : 0)),
    variant,
    'training',
  );
  return leavesLast(verify(differentiate(forward, { loss: forward.outputs.loss! })));
}

/** A batch with the lengths of questions and answers that VQA-RAD has, each with an image of its own. */
export function tinyBatch(size: number): Feeds {
  const words = (count: number, first: number) => Array.from({ length: count }, (_, i) => first + 37 * i);
  const samples = Array.from(
    { length: size },
    (_, i): Sample => ({
      qid: `q${i}`,
      imageId: `i${i}`,
      questionIds: [30523, ...words(5 + (i % 7), 2000 + i), 102],
      answerIds: [30522, ...words(i % 3 === 0 ? 4 : 1, 3000 + i), 102],
    }),
  );
  const pixels = () => Float32Array.from({ length: 3 * config.imageSize ** 2 }, () => 2 * Math.random() - 1);
  const feeds = batchFeeds(samples, pixels, config);
  return { ...feeds, ...seedFeeds(samples, feeds, [0, 1]) };
}

/** A trainer whose session notes the time that it took. */
export class TimedTrainer {
  /** of the last step */
  graphMs = 0;
  private readonly trainer: Trainer;

  constructor(graph: Graph, session: Session, lossScale: number) {
    const timed: Session = {
      ...session,
      run: async (feeds, outputs) => {
        const start = performance.now();
        const results = await session.run(feeds, outputs);
        this.graphMs += performance.now() - start;
        return results;
      },
    };
    // a learning rate of 0 would be a different computation; this one changes no time
    this.trainer = new Trainer(
      timed,
      trainableTensors(graph),
      { ...adamWDefaults, clip: 1 },
      { step: 0, lossScale },
    );
  }

  async step(feeds: Feeds): Promise<number> {
    this.graphMs = 0;
    return (await this.trainer.step([feeds], 1e-6)).gradientNorm;
  }
}
