/** @file Recomputation: the same numbers from fewer kept values. */
import { describe, expect, test } from 'vitest';
import { prune, verify } from '../../graph-builder/ir/graph.js';
import { recompute } from '../../graph-builder/rewrites/recompute.js';
import { floats, int32 } from '../../runtime/core/session.js';
import { goldenConfig, goldenFeeds, openGraph, readTensors } from '../support/golden.js';
import { trainingGraph } from '../support/models.js';
import { variantTensors } from '../support/variants.js';

const weights = readTensors('blip/weights.safetensors');
const feeds = goldenFeeds();
const seeds = (name: string, dims: readonly number[]) =>
  int32(
    Array.from(
      { length: dims.reduce((a, b) => a * b, 1) },
      (_, i) => Math.imul(i + name.length, 0x9e3779b1) | 1,
    ),
    dims,
  );
const seeded = {
  ...feeds,
  image_seed: seeds('image', [4]),
  question_seed: seeds('question', feeds.question_ids!.dims),
  answer_seed: seeds('answer', feeds.answer_ids!.dims),
};

describe.each([
  ['lora-r4', 'F/P/P'],
  ['lora-r4', 'T/T/P'],
  ['lora-r4', 'P/P/P'],
  ['prefix-n10', 'T/P/P'],
  ['full', 'T/T/T'],
])('%s at %s', (name, placement) => {
  const graph = prune(trainingGraph(goldenConfig, name, { placement }));
  const all = { ...weights, ...(name === 'full' ? {} : variantTensors(name)), ...seeded };

  test.each(['selective', 'blocks'] as const)(
    '%s: loss and gradients bit for bit, dropout on',
    async (mode) => {
      const rebuilt = prune(verify(recompute(graph, mode)));
      const [plain, other] = [await openGraph(graph), await openGraph(rebuilt)];
      const [expected, found] = [await plain.run(all), await other.run(all)];
      expect(Object.keys(found)).toEqual(Object.keys(expected));
      for (const [output, tensor] of Object.entries(expected))
        expect(Array.from(floats(found[output])), output).toEqual(Array.from(floats(tensor)));
      for (const session of [plain, other]) await session.release();
    },
  );

  test('the backward pass reads no kept value of the kind that is rebuilt', () => {
    const rebuilt = prune(verify(recompute(graph, 'selective')));
    const isBackward = (n: string) => n.startsWith('backward/') || n.startsWith('rebuilt/');
    const cheap = ['Softmax', 'Gelu', 'Greater', 'LayerNormalization'];
    const kept = new Set(
      rebuilt.nodes
        .filter(({ op, outputs: [y] }) => cheap.includes(op) && !/^(backward|rebuilt|loss)\//.test(y!.name))
        .map(({ outputs: [y] }) => y),
    );
    expect(kept.size).toBeGreaterThan(0);
    for (const node of rebuilt.nodes.filter((n) => isBackward(n.outputs[0]!.name)))
      for (const v of node.inputs) expect(kept.has(v!), node.outputs[0]!.name).toBe(false);
  });
});

test('none is the graph itself', () => {
  const graph = trainingGraph(goldenConfig, 'lora-r4', { placement: 'F/P/P' });
  expect(recompute(graph, 'none')).toBe(graph);
});
