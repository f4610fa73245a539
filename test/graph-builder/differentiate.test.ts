/** @file The reverse-mode driver: what it emits, what it leaves out, how gradients are named, summed and scaled. */
import { describe, expect, test } from 'vitest';
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { GraphBuilder } from '../../graph-builder/ir/builder.js';
import { prune, verify } from '../../graph-builder/ir/graph.js';
import type { Graph, Node, Value } from '../../graph-builder/ir/types.js';
import { lossGraph } from '../../graph-builder/models/miss.js';
import { setTrainable } from '../../graph-builder/rewrites/freeze.js';
import { type Feeds, float32, floats, int32 } from '../../runtime/core/session.js';
import { goldenConfig, goldenFeeds, openGraph, readTensors } from '../support/golden.js';
import { gradientGraph } from '../support/models.js';
import { seededNormal, withSession } from '../support/one-op.js';

const isBackward = (node: Node): boolean => node.outputs[0]!.name.startsWith('backward/');
/** before pruning: what is not needed must not be made */
const backwardNodes = (graph: Graph): readonly Node[] => graph.nodes.filter(isBackward);
const gradientNames = ({ outputs }: Graph) => Object.keys(outputs).filter((name) => name.endsWith('.grad'));
const trainableNames = ({ parameters }: Graph) => parameters.filter((p) => p.trainable).map((p) => p.name);

describe('a chain of three linear layers', () => {
  /** loss = Σ x·W0ᵀ·W1ᵀ·W2ᵀ */
  function chain(trainable: (name: string) => boolean): Graph {
    const g = new GraphBuilder();
    let x: Value = g.input('x', 'float32', ['batch', 4]);
    for (const i of [0, 1, 2]) x = g.linear(x, g.parameter(`w${i}`, [4, 4], 'zeros', trainable(`w${i}`)));
    const loss = g.reduceSum(x, [1]);
    const total = g.reduceSum(loss, [0]);
    return differentiate(verify(g.finish({ loss: total })), { loss: total });
  }

  // a Gemm for each weight that is trained and for each activation that carries a gradient
  test.each([
    [['w0', 'w1', 'w2'], 5],
    [['w1', 'w2'], 3],
    [['w2'], 1],
    [['w0'], 3],
    [['w1'], 2],
  ])('training %s takes %i backward products', (names, products) => {
    const graph = verify(chain((name) => names.includes(name)));
    expect(backwardNodes(graph).filter(({ op }) => op === 'Gemm').length).toBe(products);
    expect(gradientNames(graph)).toEqual(names.map((name) => `${name}.grad`));
  });

  test('nothing trained is an error only where something was asked for', () => {
    const graph = chain(() => false);
    expect(backwardNodes(graph)).toEqual([]);
    const w = graph.parameters[0]!;
    expect(gradientNames(differentiate(graph, { loss: graph.outputs.loss!, wrt: [w] }))).toEqual(['w0.grad']);
  });
});

test('a trainable parameter that the loss does not see is an error that names it', () => {
  const g = new GraphBuilder();
  const x = g.input('x', 'float32', [2]);
  g.parameter('lonely', [2], 'zeros', true);
  const loss = g.reduceSum(x, [0]);
  expect(() => differentiate(g.finish({ loss }), { loss })).toThrow(
    'the loss does not depend on lonely\n  where: lonely\n  to do: freeze it',
  );
});

test('a loss that is no scalar is refused', () => {
  const g = new GraphBuilder();
  const x = g.input('x', 'float32', [2]);
  const loss = g.mul(x, x);
  expect(() => differentiate(g.finish({ loss }), { loss, wrt: [x] })).toThrow(
    'internal: the loss is float32[2]',
  );
});

describe('MISS', () => {
  const full = gradientGraph(goldenConfig, 'full', {});
  const lora = gradientGraph(goldenConfig, 'lora-r4', { placement: 'F/P/P' });
  const wholeLora = gradientGraph(goldenConfig, 'lora-r4', { placement: 'P/P/P' });

  test.each([
    ['T/T/T', full],
    ['F/P/P', lora],
    ['P/P/P', wholeLora],
  ])('%s has a gradient for each trainable parameter, and no other', (_placement, graph) => {
    expect(gradientNames(graph)).toEqual(trainableNames(graph).map((name) => `${name}.grad`));
    for (const p of graph.parameters) {
      const gradient = graph.outputs[`${p.name}.grad`];
      expect(gradient?.shape).toEqual(p.trainable ? p.shape : undefined);
    }
  });

  test('a frozen image encoder costs no backward node', () => {
    /** values of the ViT that the backward pass reads */
    const read = (graph: Graph) => {
      const vision = new Set(
        graph.nodes.filter((n) => n.outputs[0]!.name.startsWith('visual_encoder/')).flatMap((n) => n.outputs),
      );
      return new Set(backwardNodes(graph).flatMap((n) => n.inputs.filter((v) => v && vision.has(v))));
    };
    // The image states alone: the adapters of cross-attention's key multiply them.
    const last = lora.nodes.findLast((n) => n.outputs[0]!.name.startsWith('visual_encoder/'))!;
    expect([...read(lora)]).toEqual([last.outputs[0]]);
    expect(read(wholeLora).size).toBeGreaterThan(20);
    expect(read(full).size).toBeGreaterThan(20);
    expect(backwardNodes(lora).length).toBeLessThan(0.75 * backwardNodes(full).length);
  });

  test('weights above the adapters get a gradient of their input, never of themselves', () => {
    const frozen = new Set<Value>(lora.parameters.filter((p) => !p.trainable));
    const products = backwardNodes(lora).filter(({ op }) => op === 'Gemm');
    const shapes = new Set([...frozen].map((p) => `${p.shape}`));
    const gradients = new Set(Object.values(lora.outputs));
    // a weight's gradient is dyᵀ·x: transA 1, an output of the weight's shape that no adapter has
    const ofWeights = products.filter(
      (n) => (n.attrs as { transA: number }).transA === 1 && !gradients.has(n.outputs[0]!),
    );
    expect(ofWeights.filter((n) => shapes.has(`${n.outputs[0]!.shape}`))).toEqual([]);
  });

  test('loss_scale multiplies every gradient, by powers of two exactly', async () => {
    const weights = {
      ...readTensors('blip/weights.safetensors'),
      ...readTensors('lora/adapters.safetensors'),
    };
    const session = await openGraph(wholeLora);
    const at = (scale: number) =>
      session.run({ ...weights, ...goldenFeeds(), loss_scale: float32(Float32Array.of(scale), []) });
    const [one, large, small] = [await at(1), await at(2 ** 32), await at(2 ** -20)];
    for (const name of gradientNames(wholeLora)) {
      const gradient = floats(one[name]);
      expect(
        gradient.some((v) => v !== 0),
        name,
      ).toBe(true);
      expect(
        floats(large[name]).every((v, i) => v === gradient[i]! * 2 ** 32),
        name,
      ).toBe(true);
      expect(
        floats(small[name]).every((v, i) => v === gradient[i]! * 2 ** -20),
        name,
      ).toBe(true);
    }
    expect(floats(large.loss)[0]).toBe(floats(one.loss)[0]);
    await session.release();
  });

  test('forward nodes stay as they are', () => {
    const forward = setTrainable(lossGraph(goldenConfig), () => true);
    const graph = differentiate(forward, { loss: forward.outputs.loss! });
    expect(graph.nodes.slice(0, forward.nodes.length)).toEqual(forward.nodes);
    expect(graph.nodes.slice(forward.nodes.length).every(isBackward)).toBe(true);
    expect(graph.outputs.loss).toBe(forward.outputs.loss);
  });
});

describe('a parameter used twice', () => {
  /** loss = Σ dy·(words[ids]·wordsᵀ + mean of words); with `tied` one table, else three. */
  function tied(isTied: boolean): Graph {
    const g = new GraphBuilder();
    const table = (name: string) => g.parameter(isTied ? 'words' : name, [5, 3], 'zeros', true);
    const ids = g.input('ids', 'int32', ['tokens']);
    const rows = g.gather(table('read'), ids);
    const logits = g.linear(rows, table('projected'));
    const mean = g.reduceMean(g.linear(rows, g.reduceMean(table('averaged'), [0], 1)), [1]);
    const dy = g.input('dy', 'float32', ['tokens', 5]);
    const loss = g.add(g.reduceSum(g.mul(logits, dy), [0, 1]), g.reduceSum(mean, [0]));
    return verify(differentiate(g.finish({ loss }), { loss }));
  }

  test('gets the sum of what its uses get', async () => {
    const words = float32(seededNormal(1)(15), [5, 3]);
    const feeds: Feeds = {
      ids: int32([4, 0, 4, 2], [4]),
      dy: float32(seededNormal(2)(20), [4, 5]),
      loss_scale: float32(Float32Array.of(1), []),
      ...Object.fromEntries(['words', 'read', 'projected', 'averaged'].map((name) => [name, words])),
    };
    const together = await withSession(tied(true), (s) => s.run(feeds));
    const apart = await withSession(tied(false), (s) => s.run(feeds));
    const parts = ['read', 'projected', 'averaged'].map((name) => floats(apart[`${name}.grad`]));
    floats(together['words.grad']).forEach((v, i) => {
      expect(v).toBeCloseTo(
        parts.reduce((s, part) => s + part[i]!, 0),
        5,
      );
    });
    for (const part of parts) expect(Math.max(...part.map(Math.abs))).toBeGreaterThan(0.1); // each one counts
  });

  test('is one output; its row gradient is added to the sum, not made apart', () => {
    const graph = prune(tied(true));
    expect(gradientNames(graph)).toEqual(['words.grad']);
    const scatter = graph.nodes.filter(({ op }) => op === 'ScatterElements');
    expect(scatter.length).toBe(1);
    expect(graph.outputs['words.grad']).toBe(scatter[0]!.outputs[0]);
  });
});
