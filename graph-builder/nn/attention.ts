/** @file Scaled dot-product attention over heads. */
import type { GraphBuilder } from '../ir/builder.js';
import type { Dim, Value } from '../ir/types.js';
import { widenDropoutMask } from './dropout.js';

/** x [rows, heads·headDim] → [batch, heads, tokens, headDim], rows = batch·tokens. */
export function splitHeads(g: GraphBuilder, x: Value, batch: Dim, tokens: Dim, heads: number): Value {
  const headDim = (x.shape[1] as number) / heads;
  return g.transpose(g.reshape(x, [batch, tokens, heads, headDim]), [0, 2, 1, 3]);
}

/** [batch, heads, tokens, headDim] → [batch·tokens, heads·headDim] */
export function mergeHeads(g: GraphBuilder, x: Value, rows: Dim): Value {
  const [, heads, , headDim] = x.shape as [Dim, number, Dim, number];
  return g.reshape(g.transpose(x, [0, 2, 1, 3]), [rows, heads * headDim]);
}

export interface AttentionInputs {
  /** [batch, heads, tokens, headDim] */
  readonly query: Value;
  /** [batch, heads, keys, headDim] */
  readonly key: Value;
  /** [batch, heads, keys, headDim] */
  readonly value: Value;
  /** added to the scores, broadcastable to [batch, heads, tokens, keys]: 0 = attend, −10000 = not */
  readonly mask?: Value;
  /** applied to the probabilities [batch, heads, tokens, keys] */
  readonly dropProbabilities?: (probabilities: Value) => Value;
  /** sees the probabilities [batch, heads, tokens, keys] before dropout */
  readonly observe?: ((probabilities: Value) => void) | undefined;
}

/** softmax(Q·Kᵀ/√headDim + mask)·V → [batch, heads, tokens, headDim] */
export function attend(g: GraphBuilder, inputs: AttentionInputs): Value {
  const { query, key, value, mask, dropProbabilities, observe } = inputs;
  const headDim = query.shape[3] as number;
  // scale query, not the scores: [tokens, headDim] is smaller than [tokens, keys]
  const scores = g.matmul(g.mul(query, 1 / Math.sqrt(headDim)), g.swapLast(key));
  const probabilities = g.op('Softmax', [mask ? g.add(scores, mask) : scores], { axis: -1 });
  observe?.(probabilities);
  return g.matmul(dropProbabilities ? dropProbabilities(probabilities) : probabilities, value);
}

/**
 * A mask [..., keys] for keys that got others before them: additive masks let every query attend to the new ones,
 * dropout masks drop some of them. `row` [added]: zeros.
 */
export function widenMask(g: GraphBuilder, mask: Value, row: Value): Value {
  const dropped = widenDropoutMask(g, mask, row.shape[0]!);
  if (dropped) return dropped;
  const any = g.op('ReduceMax', [mask], { axes: [-1], keepdims: 1 });
  return g.op('Concat', [g.add(g.sub(any, any), row), mask], { axis: -1 });
}
