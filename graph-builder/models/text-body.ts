/** @file The body that the JTM encoder and the text decoder share: BERT layers with cross-attention. */
import type { GraphBuilder } from '../ir/builder.js';
import { product } from '../ir/dim.js';
import type { Dim, Value } from '../ir/types.js';
import { type AttentionInputs, attend, mergeHeads, splitHeads } from '../nn/attention.js';
import { columnNumbers, dropout, rowSeeds, tokenColumns } from '../nn/dropout.js';
import { gelu, layerNorm, linear } from '../nn/layers.js';
import type { MissConfig } from './config.js';

const EPSILON = 1e-12;

/** Keys and values [batch, heads, keys, headDim]. */
export interface KeyValue {
  readonly key: Value;
  readonly value: Value;
}

export interface TextBodyInputs {
  /** `text_encoder` or `text_decoder.bert` */
  readonly name: string;
  /** int32 [batch, tokens] */
  readonly ids: Value;
  /** int32 [batch, tokens] */
  readonly positions: Value;
  /** additive, broadcastable to [batch, heads, tokens, keys] */
  readonly selfMask?: Value;
  /** keys and values of cross-attention in a layer; undefined = the layer has no cross-attention */
  readonly cross?: (layer: number) => KeyValue;
  readonly crossMask?: Value;
  /** int32 [batch, keys]: positions of the tokens that cross-attention sees, where their number is symbolic */
  readonly crossPositions?: Value;
  /** sees the probabilities of each layer's cross-attention [batch, heads, tokens, keys] */
  readonly observeCross?: (layer: number, probabilities: Value) => void;
  /** adds cached keys and values; sees each layer's own */
  readonly cache?: (layer: number, own: KeyValue) => KeyValue;
  /** rate of the dropout on embeddings, probabilities and sub-layer outputs; 0 in evaluation */
  readonly dropoutRate?: number;
}

/** Flattened ids and what the layers need to know. */
interface Frame {
  readonly g: GraphBuilder;
  readonly config: MissConfig;
  readonly inputs: TextBodyInputs;
  readonly batch: Dim;
  readonly tokens: Dim;
  readonly rows: Dim;
}

function drop({ g, inputs, rows }: Frame, x: Value, site: string): Value {
  const rate = inputs.dropoutRate ?? 0;
  return rate === 0 ? x : dropout(g, x, { rate, rows: rowSeeds(g, rows), site });
}

/** Dropout on probabilities [batch, heads, tokens, keys]; a head has its own numbers. */
function dropProbabilities(frame: Frame, keyPositions: Value | undefined, site: string) {
  const { g, config, inputs, batch, tokens, rows } = frame;
  const rate = inputs.dropoutRate ?? 0;
  if (rate === 0) return undefined;
  return (probabilities: Value): Value => {
    const [, heads, , keys] = probabilities.shape as [Dim, number, Dim, Dim];
    const head = g.reshape(columnNumbers(g, heads), [1, heads, 1, 1]);
    const seeds = g.reshape(g.reshape(rowSeeds(g, rows), [batch, tokens]), [batch, 1, tokens, 1]);
    const columns = keyPositions
      ? g.reshape(tokenColumns(g, keyPositions, config.maxPositions), [keyPositions.shape[0]!, 1, 1, keys])
      : undefined;
    return dropout(g, probabilities, { rate, rows: g.mul(seeds, head), ...(columns && { columns }), site });
  };
}

/** Projects states [keys' rows, hidden] to keys and values of `<name>.{key,value}`. */
export function keyValue(
  g: GraphBuilder,
  states: Value,
  name: string,
  { batch, keys, heads }: { batch: Dim; keys: Dim; heads: number },
): KeyValue {
  const hidden = states.shape[1] as number;
  return {
    key: splitHeads(g, linear(g, states, `${name}.key`, hidden), batch, keys, heads),
    value: splitHeads(g, linear(g, states, `${name}.value`, hidden), batch, keys, heads),
  };
}

/** Attention with its output projection, residual and layer norm: `<name>.self` and `<name>.output`. */
function attentionLayer(
  frame: Frame,
  x: Value,
  name: string,
  {
    key,
    value,
    mask,
    keyPositions,
    observe,
  }: KeyValue &
    Pick<AttentionInputs, 'observe'> & {
      mask?: Value | undefined;
      keyPositions?: Value | undefined;
    },
): Value {
  const { g, config, batch, tokens, rows } = frame;
  const { hidden, textHeads: heads } = config;
  const query = splitHeads(g, linear(g, x, `${name}.self.query`, hidden), batch, tokens, heads);
  const masked = dropProbabilities(frame, keyPositions, `${name}.self`);
  const context = attend(g, {
    query,
    key,
    value,
    ...(mask && { mask }),
    ...(masked && { dropProbabilities: masked }),
    observe,
  });
  const output = linear(g, mergeHeads(g, context, rows), `${name}.output.dense`, hidden);
  return layerNorm(g, g.add(drop(frame, output, `${name}.output`), x), `${name}.output.LayerNorm`, EPSILON);
}

function textLayer(frame: Frame, x: Value, layer: number): Value {
  const { g, config, inputs, batch, tokens } = frame;
  const name = `${inputs.name}.encoder.layer.${layer}`;
  const own = keyValue(g, x, `${name}.attention.self`, { batch, keys: tokens, heads: config.textHeads });
  const self = inputs.cache ? inputs.cache(layer, own) : own;
  const keyPositions = inputs.cache ? undefined : inputs.positions;
  let y = attentionLayer(frame, x, `${name}.attention`, { ...self, mask: inputs.selfMask, keyPositions });
  if (inputs.cross) {
    const { crossMask: mask, crossPositions, observeCross } = inputs;
    const states = inputs.cross(layer);
    y = attentionLayer(frame, y, `${name}.crossattention`, {
      ...states,
      mask,
      keyPositions: crossPositions,
      observe: observeCross && ((probabilities) => observeCross(layer, probabilities)),
    });
  }
  const inner = gelu(g, linear(g, y, `${name}.intermediate.dense`, config.intermediate));
  const outer = linear(g, inner, `${name}.output.dense`, config.hidden);
  return layerNorm(g, g.add(drop(frame, outer, `${name}.output`), y), `${name}.output.LayerNorm`, EPSILON);
}

/** Word table [vocab, hidden] of a text module; the decoder's output projection is tied to it. */
export const wordEmbeddings = (g: GraphBuilder, name: string, { vocab, hidden }: MissConfig): Value =>
  g.parameter(`${name}.embeddings.word_embeddings.weight`, [vocab, hidden], 'normal');

/**
 * Hidden states of a text module.
 *
 * Shapes: → [batch·tokens, hidden] float32.
 * Order inside a layer: self-attention, cross-attention, feed-forward, each with residual, then LayerNorm.
 * Source: the reference model's `text_encoder` and `text_decoder.bert` (post-norm, GELU by erf, epsilon 1e-12).
 */
export function textBody(g: GraphBuilder, inputs: TextBodyInputs, config: MissConfig): Value {
  const [batch, tokens] = inputs.ids.shape as [Dim, Dim];
  const rows = product([batch, tokens]);
  const frame: Frame = { g, config, inputs, batch, tokens, rows };
  const { name } = inputs;
  return g.within(name, () => {
    const words = g.gather(wordEmbeddings(g, name, config), g.reshape(inputs.ids, [rows]));
    const table = g.parameter(
      `${name}.embeddings.position_embeddings.weight`,
      [config.maxPositions, config.hidden],
      'normal',
    );
    const embedded = g.add(words, g.gather(table, g.reshape(inputs.positions, [rows])));
    let x = drop(
      frame,
      layerNorm(g, embedded, `${name}.embeddings.LayerNorm`, EPSILON),
      `${name}.embeddings`,
    );
    for (let layer = 0; layer < config.textLayers; layer++) x = textLayer(frame, x, layer);
    return x;
  });
}
