/** @file Adapters of frozen keys and values, moved to the side of the queries. */
import type { GraphBuilder } from '../ir/builder.js';
import { product } from '../ir/dim.js';
import type { Dim, Graph, Node, Value } from '../ir/types.js';
import { rewriteNodes } from './rewrite-nodes.js';

/** What an adapter makes of a frozen product [batch·keys, heads·headDim]. */
type Adapter =
  /** base + low·Bᵀ: low [batch·keys, rank], b [heads·headDim, rank] */
  | { readonly kind: 'low rank'; readonly low: Value; readonly b: Value }
  /** base ⊙ vector [heads·headDim] */
  | { readonly kind: 'vector'; readonly vector: Value };

/** A key or value as attention reads it, with its adapter apart. */
interface Adapted {
  readonly adapter: Adapter;
  /** without its adapter: keys [batch, heads, headDim, keys], values [batch, heads, keys, headDim] */
  readonly base: () => Value;
  readonly batch: Dim;
  readonly keys: Dim;
  readonly heads: number;
  readonly headDim: number;
}

type Producers = ReadonlyMap<Value, Node>;

const producerOf = (value: Value | undefined, op: string, producers: Producers): Node | undefined => {
  const node = value && producers.get(value);
  return node?.op === op ? node : undefined;
};

/** `low·Bᵀ` of a B that is no weight of the base model. */
function lowRankOf(value: Value, producers: Producers, isKept: (v: Value) => boolean): Adapter | undefined {
  const outer = producerOf(value, 'Gemm', producers) as Node<'Gemm'> | undefined;
  const [low, b, bias] = outer?.inputs ?? [];
  if (!outer || !low || !b || bias || outer.attrs.transA !== 0 || outer.attrs.transB !== 1) return undefined;
  return isKept(low) ? undefined : { kind: 'low rank', low, b };
}

/** The frozen product that `value` adapts, and how. */
function adapterOf(value: Value, producers: Producers, isKept: (v: Value) => boolean) {
  const [base, other] = (producerOf(value, 'Add', producers)?.inputs ?? []) as readonly Value[];
  const adapter = base && other && isKept(base) && lowRankOf(other, producers, isKept);
  if (adapter) return { base, adapter };
  const [scaled, vector] = (producerOf(value, 'Mul', producers)?.inputs ?? []) as readonly Value[];
  if (!scaled || !vector || !isKept(scaled) || vector.shape.length !== 1) return undefined;
  return { base: scaled, adapter: { kind: 'vector', vector } as const };
}

/** What a Transpose of a Reshape of an adapted product is made of; `perm` is how heads and tokens lie. */
function adaptedOf(
  value: Value,
  perm: string,
  producers: Producers,
  { g, isKept }: { g: GraphBuilder; isKept: (v: Value) => boolean },
): Adapted | undefined {
  const turned = producerOf(value, 'Transpose', producers) as Node<'Transpose'> | undefined;
  const split = producerOf(turned?.inputs[0], 'Reshape', producers);
  if (!turned || !split || turned.attrs.perm.join('') !== perm) return undefined;
  const found = adapterOf(split.inputs[0]!, producers, isKept);
  const shape = split.outputs[0]!.shape;
  const [batch, keys, heads, headDim] = shape;
  if (!found || typeof heads !== 'number' || typeof headDim !== 'number') return undefined;
  const base = () => g.transpose(g.reshape(found.base, shape), turned.attrs.perm);
  return { adapter: found.adapter, base, batch: batch!, keys: keys!, heads, headDim };
}

/** [batch, heads, tokens, width] → [batch, heads·tokens, width], and back. */
const joinHeads = (g: GraphBuilder, x: Value): Value => {
  const [batch, heads, tokens, width] = x.shape as readonly [Dim, Dim, Dim, Dim];
  return g.reshape(x, [batch, product([heads, tokens]), width]);
};

/** B [heads·headDim, rank] → [heads, headDim, rank] */
const byHead = (g: GraphBuilder, b: Value, { heads, headDim }: Adapted): Value =>
  g.reshape(b, [heads, headDim, b.shape[1]!]);

const vectorByHead = (g: GraphBuilder, vector: Value, { heads, headDim }: Adapted): Value =>
  g.reshape(vector, [heads, 1, headDim]);

/**
 *   q·(K + low·Bᵀ)ᵀ = q·Kᵀ + (q·B)·lowᵀ,   q·(l ⊙ K)ᵀ = (l ⊙ q)·Kᵀ
 */
function scores(g: GraphBuilder, query: Value, key: Adapted): Value {
  const { adapter, base, batch, keys, heads } = key;
  if (adapter.kind === 'vector') return g.matmul(g.mul(query, vectorByHead(g, adapter.vector, key)), base());
  const rank = adapter.low.shape[1]!;
  const thin = joinHeads(g, g.matmul(query, byHead(g, adapter.b, key)));
  const low = g.swapLast(g.reshape(adapter.low, [batch, keys, rank]));
  const added = g.reshape(g.matmul(thin, low), [batch, heads, query.shape[2]!, keys]);
  return g.add(g.matmul(query, base()), added);
}

/**
 *   p·(V + low·Bᵀ) = p·V + (p·low)·Bᵀ,   p·(l ⊙ V) = l ⊙ (p·V)
 */
function context(g: GraphBuilder, probabilities: Value, value: Adapted): Value {
  const { adapter, base, batch, keys, heads } = value;
  const whole = g.matmul(probabilities, base());
  if (adapter.kind === 'vector') return g.mul(whole, vectorByHead(g, adapter.vector, value));
  const rank = adapter.low.shape[1]!;
  const thin = g.matmul(joinHeads(g, probabilities), g.reshape(adapter.low, [batch, keys, rank]));
  const byHeads = g.reshape(thin, [batch, heads, probabilities.shape[2]!, rank]);
  return g.add(whole, g.matmul(byHeads, g.swapLast(byHead(g, adapter.b, value))));
}

/**
 * Attention over keys and values whose base products are kept (`isKept`): their adapters work on the queries, the
 * probabilities or the context instead. There are a few queries and hundreds of keys: nothing as large as the keys is
 * made, forward or backward, and kept products need no transposed copy at a step.
 *
 * Values and gradients are those of the graph as it was, up to the order of sums.
 */
export function adaptersToQuerySide(graph: Graph, isKept: (v: Value) => boolean): Graph {
  const producers = new Map(graph.nodes.flatMap((n) => n.outputs.map((v) => [v, n] as const)));
  return rewriteNodes(graph, (node, { g, original }) => {
    if (node.op !== 'MatMul') return undefined;
    const [left, right] = [node.inputs[0]!, original.inputs[1]!];
    const how = { g, isKept };
    const key = adaptedOf(right, '0231', producers, how);
    if (key) return [scores(g, left, key)];
    const value = adaptedOf(right, '0213', producers, how);
    return value && [context(g, left, value)];
  });
}
