/** @file Where an answer comes from: cross-attention and the answer's gradient with respect to it. */
import { differentiate } from '../gradients/differentiate.js';
import { prune } from '../ir/graph.js';
import type { Graph, Value } from '../ir/types.js';
import type { MissConfig } from '../models/config.js';
import { watchedGraph, watchedNames } from '../models/miss.js';
import { applyVariant, type Variant } from './variant.js';

/**
 * The graph that explains answers of a variant: `attention.L`, `attention.L.grad` and `answer_attention.L` for each
 * layer, `token_losses` = −log p of the labels.
 *
 *   attention.L.grad = −loss_scale · ∂ (Σ weight · log p) / ∂ attention.L: feed a loss_scale of −1 and weights of 1
 *
 * Trained tensors are inputs by the names and in the form that training has. Only what lies above the first
 * layer's attention is differentiated: neither the image encoder nor any weight.
 * Source: gradient-weighted cross-attention as Li et al. 2021 (ALBEF, arXiv:2107.07651), section 5 and appendix.
 */
export function explainGraph(config: MissConfig, variant: Variant): Graph {
  const forward = applyVariant(watchedGraph(config), variant, 'evaluation');
  const layers = [...Array(config.textLayers).keys()];
  const watched = layers.map((layer) => forward.outputs[watchedNames.attention(layer)]!);
  const { outputs, ...graph } = differentiate(forward, { loss: forward.outputs.loss!, wrt: watched });
  const named: Record<string, Value> = { token_losses: outputs.token_losses! };
  for (const [layer, value] of watched.entries()) {
    const name = watchedNames.attention(layer);
    named[name] = value;
    named[`${name}.grad`] = outputs[`${value.name}.grad`]!;
    named[watchedNames.answerAttention(layer)] = outputs[watchedNames.answerAttention(layer)]!;
  }
  return prune({ ...graph, outputs: named });
}
