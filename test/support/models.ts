/** @file Every kind of graph that the project writes, for a configuration. */
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { verify } from '../../graph-builder/ir/graph.js';
import type { Graph } from '../../graph-builder/ir/types.js';
import type { MissConfig } from '../../graph-builder/models/config.js';
import {
  answerDecoderGraph,
  imageEncoderGraph,
  logitsGraph,
  lossGraph,
  questionEncoderGraph,
} from '../../graph-builder/models/miss.js';
import { explainGraph } from '../../graph-builder/variant/explain.js';
import { parseVariant, type VariantOptions } from '../../graph-builder/variant/parse.js';
import { applyVariant, dropoutRates } from '../../graph-builder/variant/variant.js';

/** The training graph of a variant: forward, backward, dropout. */
export function trainingGraph(config: MissConfig, name: string, options: VariantOptions): Graph {
  const variant = parseVariant(name, lossGraph(config).parameters, options);
  const forward = applyVariant(lossGraph(config, dropoutRates(variant)), variant, 'training');
  return verify(differentiate(verify(forward), { loss: forward.outputs.loss! }));
}

/** The training graph without dropout. */
export function gradientGraph(config: MissConfig, name: string, options: VariantOptions): Graph {
  const base = lossGraph(config);
  const forward = applyVariant(base, parseVariant(name, base.parameters, options), 'evaluation');
  return verify(differentiate(verify(forward), { loss: forward.outputs.loss! }));
}

/** A graph for any adapter of a variant's sites. */
export function servingGraph(graph: Graph, config: MissConfig, name: string, options: VariantOptions): Graph {
  const variant = parseVariant(name, lossGraph(config).parameters, options);
  return verify(applyVariant(graph, variant, 'serving'));
}

export const graphsOf = (config: MissConfig): Readonly<Record<string, Graph>> => ({
  loss: lossGraph(config),
  logits: logitsGraph(config),
  'training full': trainingGraph(config, 'full', {}),
  'training lora F/P/P': trainingGraph(config, 'lora-r4', { placement: 'F/P/P' }),
  'training lora P/P/P': trainingGraph(config, 'lora-r4', { placement: 'P/P/P' }),
  'training lora T/T/P': trainingGraph(config, 'lora-r4', { placement: 'T/T/P' }),
  explain: explainGraph(
    config,
    parseVariant('lora-r4', lossGraph(config).parameters, { placement: 'T/T/P' }),
  ),
  image_encoder: imageEncoderGraph(config),
  question_encoder: questionEncoderGraph(config),
  answer_decoder: answerDecoderGraph(config),
  'serving image_encoder': servingGraph(imageEncoderGraph(config), config, 'lora-r4', { placement: 'P/P/P' }),
  'serving question_encoder': servingGraph(questionEncoderGraph(config), config, 'lora-r4', {
    placement: 'P/P/P',
  }),
  'serving answer_decoder': servingGraph(answerDecoderGraph(config), config, 'lora-r4', {
    placement: 'P/P/P',
  }),
});
