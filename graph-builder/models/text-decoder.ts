/** @file The text decoder's head and the language-modelling loss. */
import type { GraphBuilder } from '../ir/builder.js';
import type { Value } from '../ir/types.js';
import { gelu, layerNorm, linear } from '../nn/layers.js';
import type { MissConfig } from './config.js';
import { wordEmbeddings } from './text-body.js';

const EPSILON = 1e-12;

/** What the vocabulary projection multiplies: transformed hidden states, the tied word table and its bias. */
interface Head {
  /** [rows, hidden] */
  readonly states: Value;
  /** [vocab, hidden] */
  readonly words: Value;
  /** [vocab] */
  readonly bias: Value;
}

function head(g: GraphBuilder, hiddenStates: Value, config: MissConfig): Head {
  const name = 'text_decoder.cls.predictions';
  const dense = gelu(g, linear(g, hiddenStates, `${name}.transform.dense`, config.hidden));
  return {
    states: layerNorm(g, dense, `${name}.transform.LayerNorm`, EPSILON),
    words: wordEmbeddings(g, 'text_decoder.bert', config),
    bias: g.parameter(`${name}.bias`, [config.vocab], 'zeros'),
  };
}

/** hiddenStates [rows, hidden] → logits [rows, vocab] */
export function logits(g: GraphBuilder, hiddenStates: Value, config: MissConfig): Value {
  return g.within('head', () => {
    const { states, words, bias } = head(g, hiddenStates, config);
    return g.linear(states, words, bias);
  });
}

export interface LossInputs {
  /** int32 [labels]: rows of the hidden states that predict a label; padding is never projected */
  readonly positions: Value;
  /** int32 [labels] */
  readonly labels: Value;
  /** float32 [labels]: 1 / batch size; 0 for a row that only fills up a bucket */
  readonly weights: Value;
}

/**
 * Language-modelling loss with label smoothing ε.
 *
 *   loss = Σ weight · ((1 − ε)·nll + ε/V · Σ_v nll_v) = Σ weight · (lse − (1 − ε)·z_label − ε·mean(z))
 *
 * The log-sum-exp form needs no one-hot: z_label and mean(z) are products with single rows, made from the word
 * table, so the only tensors of vocabulary width are z and its softmax.
 * Shapes: hiddenStates [rows, hidden] → loss [], tokenLosses [labels] (nats, unweighted).
 * Source: BLIP's decoder loss with `reduction: none`, summed over tokens and averaged over the batch; the
 * uniform part covers the whole vocabulary, the label included.
 */
export function smoothedLoss(
  g: GraphBuilder,
  hiddenStates: Value,
  { positions, labels, weights }: LossInputs,
  config: MissConfig,
): { loss: Value; tokenLosses: Value } {
  return g.within('loss', () => {
    const { states, words, bias } = head(g, g.gather(hiddenStates, positions), config);
    const count = labels.shape[0]!;
    const z = g.linear(states, words, bias);
    const lse = g.op('ReduceLogSumExp', [z], { axes: [1], keepdims: 0 });
    const own = g.reduceSum(g.mul(states, g.gather(words, labels)), [1]);
    const ofLabel = g.add(own, g.gather(bias, labels));
    const meanWord = g.reduceMean(words, [0], 1);
    const mean = g.add(g.reshape(g.linear(states, meanWord), [count]), g.reduceMean(bias, [0]));
    const smoothing = config.labelSmoothing;
    const tokenLosses = g.sub(g.sub(lse, g.mul(ofLabel, 1 - smoothing)), g.mul(mean, smoothing));
    return { loss: g.reduceSum(g.mul(tokenLosses, weights), [0]), tokenLosses };
  });
}
