/** @file MISS: image encoder, JTM encoder and text decoder put together, as the graphs that people run. */
import { GraphBuilder } from '../ir/builder.js';
import { product } from '../ir/dim.js';
import type { Dim, Graph, Value } from '../ir/types.js';
import { seedInputs } from '../nn/dropout.js';
import { imageTokens, type MissConfig, type ModuleName } from './config.js';
import { type KeyValue, keyValue, type TextBodyInputs, textBody } from './text-body.js';
import { type LossInputs, logits, smoothedLoss } from './text-decoder.js';
import { imageEncoder } from './vit.js';

/** Rates of the reference: 0.1 in the text modules, drop path up to 0.1 in the ViT. */
export const REFERENCE_DROPOUT = 0.1;

/** Dropout of the modules; a module that is not named runs in evaluation mode. */
export type DropoutRates = Partial<Record<ModuleName, number>>;

/** Beams that `answer_decoder` can serve: it returns the best 2·beams tokens of a row. */
export const MAX_BEAMS = 8;

const DECODER = 'text_decoder.bert';

/** The leading axis of images: distinct ones that questions pick from, or one a question. */
type ImageAxis = 'images' | 'batch';

const pixelInput = (g: GraphBuilder, { imageSize }: MissConfig, images: ImageAxis = 'images'): Value =>
  g.input('pixel_values', 'float32', [images, 3, imageSize, imageSize]);

/** int32 [batch, tokens] ids, positions and mask of a text, and the shape that its heads need. */
function textInputs(g: GraphBuilder, kind: 'question' | 'answer', { hidden, textHeads }: MissConfig) {
  const shape = ['batch', `${kind}_tokens`] as const;
  g.shapeInput(`${kind}_shape`, [...shape, textHeads, hidden / textHeads]);
  g.shapeInput(`${kind}_token_shape`, [...shape]);
  return {
    ids: g.input(`${kind}_ids`, 'int32', shape),
    positions: g.input(`${kind}_position_ids`, 'int32', shape),
    mask: g.input(`${kind}_mask`, 'int32', shape),
  };
}

/** mask [batch, keys], 1 = attend → [batch, 1, 1, keys], 0 or −10000 to be added to scores */
function additiveMask(g: GraphBuilder, mask: Value): Value {
  const [batch, keys] = mask.shape as [Dim, Dim];
  return g.reshape(g.mul(g.sub(g.cast(mask, 'float32'), 1), 10_000), [batch, 1, 1, keys]);
}

/** Causal times padding: [batch, 1, tokens, tokens], 0 or −10000. */
function causalMask(g: GraphBuilder, mask: Value, positions: Value): Value {
  const [batch, tokens] = mask.shape as [Dim, Dim];
  const at = g.cast(positions, 'float32');
  const past = g.op(
    'GreaterOrEqual',
    [g.reshape(at, [batch, 1, tokens, 1]), g.reshape(at, [batch, 1, 1, tokens])],
    {},
  );
  const allowed = g.mul(g.cast(past, 'float32'), g.reshape(g.cast(mask, 'float32'), [batch, 1, 1, tokens]));
  return g.mul(g.sub(allowed, 1), 10_000);
}

type Observed = Pick<TextBodyInputs, 'observeCross'>;

/** Image states [images, tokens, hidden] that are given, as rows. */
const givenImageStates = (g: GraphBuilder, config: MissConfig): Value => {
  const tokens = imageTokens(config);
  const given = g.input('image_states', 'float32', ['images', tokens, config.hidden]);
  return g.reshape(given, [product(['images', tokens]), config.hidden]);
};

/**
 * The question's states: the JTM encoder over [ENC] w1 … wn [SEP], cross-attending to the image tokens.
 * Keys and values are made once an image; `selection` [batch, images], one 1 a row, picks each question's. A
 * product with 0 and 1 is exact, and its gradient is a product too: no scatter is needed. With an image a question
 * nothing is picked.
 */
function questionStates(
  g: GraphBuilder,
  config: MissConfig,
  {
    imageStates,
    images = 'images',
    dropoutRate,
    observeCross,
  }: { imageStates: Value; images?: ImageAxis; dropoutRate?: number } & Observed,
): { states: Value; mask: Value; positions: Value } {
  const { ids, positions, mask } = textInputs(g, 'question', config);
  const selection = images === 'images' && g.input('image_selection', 'float32', ['batch', 'images']);
  const pick = (v: Value): Value => {
    if (!selection) return v;
    const [, heads, keys, headDim] = v.shape as [Dim, number, number, number];
    const flat = g.matmul(selection, g.reshape(v, ['images', heads * keys * headDim]));
    return g.reshape(flat, ['batch', heads, keys, headDim]);
  };
  const cross = (layer: number): KeyValue => {
    const name = `text_encoder.encoder.layer.${layer}.crossattention.self`;
    const each = keyValue(g, imageStates, name, {
      batch: images,
      keys: imageTokens(config),
      heads: config.textHeads,
    });
    return { key: pick(each.key), value: pick(each.value) };
  };
  const states = textBody(
    g,
    {
      name: 'text_encoder',
      ids,
      positions,
      selfMask: additiveMask(g, mask),
      cross,
      ...(dropoutRate && { dropoutRate }),
      ...(observeCross && { observeCross }),
    },
    config,
  );
  return { states, mask, positions };
}

const decoderCross = (g: GraphBuilder, config: MissConfig, states: Value, layer: number): KeyValue =>
  keyValue(g, states, `${DECODER}.encoder.layer.${layer}.crossattention.self`, {
    batch: 'batch',
    keys: 'question_tokens',
    heads: config.textHeads,
  });

/** Hidden states of the decoder for whole answers, [batch·answer_tokens, hidden]. */
function answerStates(
  g: GraphBuilder,
  config: MissConfig,
  dropout: DropoutRates = {},
  images: ImageAxis = 'images',
): Value {
  const rate = dropout.visual_encoder ?? 0;
  const imageStates = imageEncoder(g, pixelInput(g, config, images), config, rate);
  const question = questionStates(g, config, {
    imageStates,
    images,
    ...(dropout.text_encoder && { dropoutRate: dropout.text_encoder }),
  });
  return decoderStates(g, config, question, { dropoutRate: dropout.text_decoder ?? 0 });
}

/** The decoder over whole answers, cross-attending to the question's states. */
function decoderStates(
  g: GraphBuilder,
  config: MissConfig,
  question: ReturnType<typeof questionStates>,
  { dropoutRate, observeCross }: { dropoutRate: number } & Observed,
): Value {
  const { ids, positions, mask } = textInputs(g, 'answer', config);
  return textBody(
    g,
    {
      name: DECODER,
      ids,
      positions,
      selfMask: causalMask(g, mask, positions),
      cross: (layer) => decoderCross(g, config, question.states, layer),
      crossMask: additiveMask(g, question.mask),
      crossPositions: question.positions,
      dropoutRate,
      ...(observeCross && { observeCross }),
    },
    config,
  );
}

const labelInputs = (g: GraphBuilder): LossInputs => ({
  positions: g.input('label_positions', 'int32', ['labels']),
  labels: g.input('labels', 'int32', ['labels']),
  weights: g.input('label_weights', 'float32', ['labels']),
});

/**
 * Loss of a batch; outputs `loss` [] and `token_losses` [labels]. With dropout rates (also none), the training
 * form: it has the inputs that seed dropout, which rewrites may use too. With `images` 'batch' each question
 * comes with its image, also if several ask about the same one.
 */
export function lossGraph(config: MissConfig, dropout?: DropoutRates, images: ImageAxis = 'images'): Graph {
  const g = new GraphBuilder();
  if (dropout) {
    g.input(seedInputs.image, 'int32', [images]);
    g.input(seedInputs.question, 'int32', ['batch', 'question_tokens']);
    g.input(seedInputs.answer, 'int32', ['batch', 'answer_tokens']);
  }
  const hiddenStates = answerStates(g, config, dropout, images);
  const { loss, tokenLosses } = smoothedLoss(g, hiddenStates, labelInputs(g), config);
  return g.finish({ loss, token_losses: tokenLosses });
}

/** Teacher-forced logits; output `logits` [batch·answer_tokens, vocab]. */
export function logitsGraph(config: MissConfig): Graph {
  const g = new GraphBuilder();
  return g.finish({ logits: logits(g, answerStates(g, config), config) });
}

/** `pixel_values` [images, 3, side, side] → `image_states` [images, tokens, hidden]. */
export function imageEncoderGraph(config: MissConfig): Graph {
  const g = new GraphBuilder();
  const states = imageEncoder(g, pixelInput(g, config), config);
  return g.finish({ image_states: g.reshape(states, ['images', imageTokens(config), config.hidden]) });
}

/**
 * Questions about images: `image_states` [images, tokens, hidden], `image_selection` [batch, images] and the
 * question's inputs → the decoder's cross-attention `cross_key.L`, `cross_value.L`
 * [batch, heads, question_tokens, headDim].
 */
export function questionEncoderGraph(config: MissConfig): Graph {
  const g = new GraphBuilder();
  const { states } = questionStates(g, config, { imageStates: givenImageStates(g, config) });
  const outputs: Record<string, Value> = {};
  for (let layer = 0; layer < config.textLayers; layer++) {
    const { key, value } = decoderCross(g, config, states, layer);
    outputs[`cross_key.${layer}`] = key;
    outputs[`cross_value.${layer}`] = value;
  }
  return g.finish(outputs);
}

/**
 * One decoding step with cached keys and values. A row is a beam.
 *
 * Inputs: `answer_ids`, `answer_position_ids` int32 [rows, 1]; `beam_parent` int32 [rows]: the row of the
 * last step that each row continues; `question_index` int32 [rows]; `question_mask` int32 [batch, tokens];
 * `cross_key.L`, `cross_value.L` of the question encoder; `past_key.L`, `past_value.L`
 * [past_rows, heads, past, headDim] (past may be 0).
 * Outputs: `logits` [rows, vocab]; `top_log_probs` float32 and `top_ids` int64 [rows, 2·MAX_BEAMS];
 * `present_key.L`, `present_value.L` [rows, heads, past+1, headDim].
 */
export function answerDecoderGraph(config: MissConfig): Graph {
  const g = new GraphBuilder();
  const { hidden, textHeads: heads, vocab } = config;
  const headDim = hidden / heads;
  const ids = g.input('answer_ids', 'int32', ['rows', 1]);
  const positions = g.input('answer_position_ids', 'int32', ['rows', 1]);
  const parent = g.input('beam_parent', 'int32', ['rows']);
  const questionIndex = g.input('question_index', 'int32', ['rows']);
  const mask = g.input('question_mask', 'int32', ['batch', 'question_tokens']);
  const outputs: Record<string, Value> = {};
  const cached = (kind: 'key' | 'value', layer: number, own: Value): Value => {
    const past = g.input(`past_${kind}.${layer}`, 'float32', ['past_rows', heads, 'past', headDim]);
    const present = g.op('Concat', [g.gather(past, parent), own], { axis: 2 });
    outputs[`present_${kind}.${layer}`] = present;
    return present;
  };
  const crossOf = (kind: 'key' | 'value', layer: number): Value =>
    g.gather(
      g.input(`cross_${kind}.${layer}`, 'float32', ['batch', heads, 'question_tokens', headDim]),
      questionIndex,
    );
  const states = textBody(
    g,
    {
      name: DECODER,
      ids,
      positions,
      cache: (layer, own) => ({
        key: cached('key', layer, own.key),
        value: cached('value', layer, own.value),
      }),
      cross: (layer) => ({ key: crossOf('key', layer), value: crossOf('value', layer) }),
      crossMask: additiveMask(g, g.gather(mask, questionIndex)),
    },
    config,
  );
  const scores = logits(g, states, config);
  const [best, topIds] = g.apply('TopK', [scores], { k: [Math.min(2 * MAX_BEAMS, vocab)], axis: -1 }) as [
    Value,
    Value,
  ];
  const lse = g.op('ReduceLogSumExp', [scores], { axes: [1], keepdims: 1 });
  const result = { logits: scores, top_log_probs: g.sub(best, lse), top_ids: topIds, ...outputs };
  return g.finish(result);
}

/** Outputs of {@link watchedGraph} that hold a layer's cross-attention. */
export const watchedNames = {
  /** of the question to the image's tokens, [batch, heads, question_tokens, image tokens] */
  attention: (layer: number) => `attention.${layer}`,
  /** of the answer to the question's tokens, [batch, heads, answer_tokens, question_tokens] */
  answerAttention: (layer: number) => `answer_attention.${layer}`,
};

/**
 * Log-likelihood of given answers with the cross-attention that it passed through: `loss` [] = Σ weight · −log p of
 * the labels (no smoothing), `token_losses` [labels], and the outputs of {@link watchedNames}. Inputs as the loss
 * graph's, with `image_states` instead of pixels.
 */
export function watchedGraph(config: MissConfig): Graph {
  const g = new GraphBuilder();
  const outputs: Record<string, Value> = {};
  const watch = (name: (layer: number) => string): Observed => ({
    observeCross: (layer, probabilities) => {
      outputs[name(layer)] = probabilities;
    },
  });
  const question = questionStates(g, config, {
    imageStates: givenImageStates(g, config),
    ...watch(watchedNames.attention),
  });
  const states = decoderStates(g, config, question, {
    dropoutRate: 0,
    ...watch(watchedNames.answerAttention),
  });
  const { loss, tokenLosses } = smoothedLoss(g, states, labelInputs(g), { ...config, labelSmoothing: 0 });
  return g.finish({ loss, token_losses: tokenLosses, ...outputs });
}

/** Hidden states of a text module alone, without cross-attention: [batch·question_tokens, hidden]. */
export function textOnlyGraph(config: MissConfig): Graph {
  const g = new GraphBuilder();
  const { ids, positions, mask } = textInputs(g, 'question', config);
  const inputs = { name: 'text_encoder', ids, positions, selfMask: additiveMask(g, mask) };
  return g.finish({ hidden_states: textBody(g, inputs, config) });
}
