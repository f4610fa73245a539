/** @file Every graph that a run holds, for every method, with feeds. */
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { verify } from '../../graph-builder/ir/graph.js';
import type { Graph } from '../../graph-builder/ir/types.js';
import { cutLevels, cutMiss, type LossGraphs } from '../../graph-builder/models/cuts.js';
import {
  answerDecoderGraph,
  imageEncoderGraph,
  logitsGraph,
  lossGraph,
  questionEncoderGraph,
} from '../../graph-builder/models/miss.js';
import { explainGraph } from '../../graph-builder/variant/explain.js';
import { parseVariant } from '../../graph-builder/variant/parse.js';
import {
  applyVariant,
  dropoutRates,
  servedTensors,
  type Variant,
} from '../../graph-builder/variant/variant.js';
import { seedFeeds } from '../../runtime/core/batch.js';
import { type Feeds, float32, floats, int32, type Tensor } from '../../runtime/core/session.js';
import { goldenConfig as config, goldenFeeds, readTensors } from '../support/golden.js';
import { seededNormal, sizeOf } from '../support/one-op.js';
import { variantTensors } from '../support/variants.js';

export interface GraphCase {
  readonly graph: Graph;
  readonly feeds: Feeds;
}

const base = readTensors('blip/weights.safetensors');

/** Values of a variant's trainable tensors, away from their initial ones. */
function trainedOf(name: string, graph: Graph): Record<string, Tensor> {
  const known = { ...base, ...(name === 'full' ? {} : variantTensors(name)) };
  return Object.fromEntries(graph.parameters.filter((p) => p.trainable).map((p) => [p.name, known[p.name]!]));
}

function served(tensors: Readonly<Record<string, Tensor>>, variant: Variant): Feeds {
  const raw = new Map(
    Object.entries(tensors).map(([n, t]) => [n, { shape: t.dims, data: floats(t) as Float32Array }]),
  );
  const entries = [...servedTensors(raw, variant, config.textHeads)];
  return Object.fromEntries(entries.map(([n, { shape, data }]) => [n, float32(data, shape)]));
}

const golden = goldenFeeds(config);
const [batch, questionTokens] = golden.question_ids!.dims as [number, number];
const samples = Array.from({ length: batch }, (_, i) => ({
  qid: `q${i}`,
  imageId: `image${i}`,
  questionIds: [],
  answerIds: [],
}));
const headDim = config.hidden / config.textHeads;
/** beams of the decoder's cases */
const ROWS = 6;

const drawn = (seed: number, dims: readonly number[]): Tensor =>
  float32(seededNormal(seed)(sizeOf(dims)), dims);

/** A decoding step after `past` others. */
function decoderFeeds(past: number): Feeds {
  const rows = Array.from({ length: ROWS }, (_, i) => i);
  const layers = Array.from({ length: config.textLayers }, (_, layer) => [
    [`cross_key.${layer}`, drawn(layer, [batch, config.textHeads, questionTokens, headDim])] as const,
    [`cross_value.${layer}`, drawn(layer + 10, [batch, config.textHeads, questionTokens, headDim])] as const,
    [`past_key.${layer}`, drawn(layer + 20, [ROWS, config.textHeads, past, headDim])] as const,
    [`past_value.${layer}`, drawn(layer + 30, [ROWS, config.textHeads, past, headDim])] as const,
  ]);
  return {
    answer_ids: int32(
      rows.map((r) => 7 * r + 3),
      [ROWS, 1],
    ),
    answer_position_ids: int32(
      rows.map(() => past),
      [ROWS, 1],
    ),
    beam_parent: int32([0, 0, 1, 3, 5, 4], [ROWS]),
    question_index: int32([0, 0, 1, 2, 3, 3], [ROWS]),
    question_mask: golden.question_mask!,
    ...Object.fromEntries(layers.flat()),
  };
}

/** Features that a frozen graph would have made. */
const featuresOf = (graph: Graph): Feeds =>
  Object.fromEntries(
    graph.inputs
      .filter((v) => v.name.startsWith('feature.'))
      .map((v, i) => {
        const rows = (name: string) => (name === 'question_tokens' ? questionTokens : batch);
        const lengths = v.shape.map((d) =>
          typeof d === 'number' ? d : d.split('*').reduce((p, f) => p * (Number(f) || rows(f)), 1),
        );
        return [v.name, drawn(50 + i, lengths)];
      }),
  );

/** The graphs of a run folder, by what they are. */
export function graphCases(name: string, placement: string): Record<string, GraphCase> {
  const plain = lossGraph(config);
  const variant = parseVariant(name, plain.parameters, { placement });
  const evaluation = applyVariant(plain, variant, 'evaluation');
  const trained = trainedOf(name, evaluation);
  const noisy: LossGraphs = (images) =>
    applyVariant(lossGraph(config, dropoutRates(variant), images), variant, 'training');
  const withGradients = (graph: Graph) => verify(differentiate(graph, { loss: graph.outputs.loss! }));
  const feeds = { ...golden, ...seedFeeds(samples, golden, [3, 1]), ...trained };
  const serving = (graph: Graph, more: Feeds): GraphCase => ({
    graph: verify(applyVariant(graph, variant, 'serving')),
    feeds: { ...golden, ...served(trained, variant), ...more },
  });
  const states = {
    image_states: drawn(1, [batch, (config.imageSize / config.patchSize) ** 2 + 1, config.hidden]),
  };
  const cuts = cutLevels.flatMap((level) => {
    const cut = cutMiss(noisy, level);
    if (!cut) return [];
    const rest = { graph: withGradients(cut.rest), feeds: { ...feeds, ...featuresOf(cut.rest) } };
    return [
      [`frozen ${level}`, { graph: verify(cut.frozen), feeds }],
      [`training ${level}`, rest],
    ] as const;
  });
  const evaluationCut = cutMiss(() => evaluation, 'vit')?.rest;
  return {
    training: { graph: withGradients(noisy('images')), feeds },
    evaluation: { graph: verify(evaluation), feeds },
    forward: { graph: verify(applyVariant(logitsGraph(config), variant, 'evaluation')), feeds },
    'image encoder': serving(imageEncoderGraph(config), {}),
    'question encoder': serving(questionEncoderGraph(config), states),
    'answer decoder, first token': serving(answerDecoderGraph(config), decoderFeeds(0)),
    'answer decoder': serving(answerDecoderGraph(config), decoderFeeds(3)),
    explain: { graph: verify(explainGraph(config, variant)), feeds: { ...feeds, ...states } },
    ...Object.fromEntries(cuts),
    ...(evaluationCut && {
      'evaluation vit': { graph: verify(evaluationCut), feeds: { ...feeds, ...featuresOf(evaluationCut) } },
    }),
  };
}
