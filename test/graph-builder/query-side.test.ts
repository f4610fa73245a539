/** @file Adapters of frozen keys and values beside the queries: the same numbers, nothing as large as the keys. */
import { describe, expect, test } from 'vitest';
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { GraphBuilder } from '../../graph-builder/ir/builder.js';
import { prune, verify } from '../../graph-builder/ir/graph.js';
import type { Graph, Value } from '../../graph-builder/ir/types.js';
import { attend, splitHeads } from '../../graph-builder/nn/attention.js';
import { adaptersToQuerySide } from '../../graph-builder/rewrites/query-side.js';
import { type Feeds, float32, floats, int64 } from '../../runtime/core/session.js';
import { maxDifference, norm, openGraph } from '../support/golden.js';

const [BATCH, TOKENS, KEYS, HEADS, WIDTH, RANK] = [2, 3, 19, 4, 32, 5] as const;

type Adapter = 'low rank' | 'vector' | 'none';

/** Attention of a trained query over fed keys and values, each with an adapter. */
function attention(key: Adapter, value: Adapter): { graph: Graph; kept: ReadonlySet<Value> } {
  const g = new GraphBuilder();
  const rows = `${KEYS}*batch`;
  const headDim = WIDTH / HEADS;
  g.shapeInput('query_shape', ['batch', 'tokens', HEADS, headDim]);
  g.shapeInput('out_shape', ['batch', HEADS, 'tokens', headDim]);
  const states = g.input('states', 'float32', [rows, WIDTH]);
  const query = g.mul(
    g.input('query', 'float32', ['batch*tokens', WIDTH]),
    g.parameter('scale', [WIDTH], 'ones', true),
  );
  const kept = new Set<Value>();
  const adapted = (name: string, kind: Adapter): Value => {
    const base = g.mul(g.input(name, 'float32', [rows, WIDTH]), 2);
    kept.add(base);
    if (kind === 'none') return base;
    if (kind === 'vector') return g.mul(base, g.parameter(`${name}.l`, [WIDTH], 'ones', true));
    const low = g.linear(states, g.parameter(`${name}.A`, [RANK, WIDTH], 'zeros', true));
    return g.add(base, g.linear(low, g.mul(g.parameter(`${name}.B`, [WIDTH, RANK], 'zeros', true), 3)));
  };
  const out = attend(g, {
    query: splitHeads(g, query, 'batch', 'tokens', HEADS),
    key: splitHeads(g, adapted('key', key), 'batch', KEYS, HEADS),
    value: splitHeads(g, adapted('value', value), 'batch', KEYS, HEADS),
  });
  const weighted = g.mul(out, g.input('weights', 'float32', out.shape));
  const loss = g.reduceSum(weighted, [0, 1, 2, 3]);
  return { graph: g.finish({ loss }), kept };
}

const random = (dims: readonly number[], seed: number) => {
  const size = dims.reduce((a, b) => a * b, 1);
  return float32(
    Float32Array.from({ length: size }, (_, i) => Math.sin(seed + 12.9898 * i)),
    dims,
  );
};

const feeds: Feeds = {
  loss_scale: float32(Float32Array.of(1), []),
  states: random([BATCH * KEYS, WIDTH], 1),
  query: random([BATCH * TOKENS, WIDTH], 2),
  key: random([BATCH * KEYS, WIDTH], 3),
  value: random([BATCH * KEYS, WIDTH], 4),
  weights: random([BATCH, HEADS, TOKENS, WIDTH / HEADS], 5),
  scale: random([WIDTH], 6),
  query_shape: int64([BATCH, TOKENS, HEADS, WIDTH / HEADS]),
  out_shape: int64([BATCH, HEADS, TOKENS, WIDTH / HEADS]),
  ...Object.fromEntries(
    ['key', 'value'].flatMap((name, i) => [
      [`${name}.A`, random([RANK, WIDTH], 10 + i)],
      [`${name}.B`, random([WIDTH, RANK], 20 + i)],
      [`${name}.l`, random([WIDTH], 30 + i)],
    ]),
  ),
};

const withGradients = (graph: Graph): Graph =>
  prune(verify(differentiate(graph, { loss: graph.outputs.loss! })));

describe.each<[Adapter, Adapter]>([
  ['low rank', 'none'],
  ['none', 'low rank'],
  ['low rank', 'low rank'],
  ['vector', 'vector'],
  ['vector', 'low rank'],
])('key: %s, value: %s', (key, value) => {
  const { graph, kept } = attention(key, value);
  const moved = withGradients(prune(adaptersToQuerySide(graph, (v) => kept.has(v))));

  test('loss and gradients stay', async () => {
    const [before, after] = [await openGraph(withGradients(graph)), await openGraph(moved)];
    const [expected, found] = [await before.run(feeds), await after.run(feeds)];
    expect(Object.keys(found).sort()).toEqual(Object.keys(expected).sort());
    expect(Object.keys(expected).filter((name) => name.endsWith('.grad')).length).toBeGreaterThan(1);
    for (const [name, tensor] of Object.entries(expected)) {
      const size = norm(floats(tensor));
      expect(size, name).toBeGreaterThan(0);
      expect(maxDifference(floats(found[name]), floats(tensor)), name).toBeLessThan(1e-5 * size);
    }
    for (const session of [before, after]) await session.release();
  });

  test('the backward pass makes nothing as large as the keys', () => {
    const made = moved.nodes
      .filter((n) => n.op !== 'Transpose') // ONNX Runtime reads them in place
      .flatMap((n) => n.outputs)
      .filter((v) => v.name.startsWith('backward/') && v.dtype === 'float32');
    const large = made.filter(({ shape }) => shape.includes(WIDTH / HEADS) && shape.includes(KEYS));
    expect(large.map((v) => `${v.name} [${v.shape}]`)).toEqual([]);
  });
});

test('keys that are not kept stay as they are', () => {
  const { graph } = attention('low rank', 'vector');
  expect(adaptersToQuerySide(graph, () => false).nodes).toEqual(graph.nodes);
});
