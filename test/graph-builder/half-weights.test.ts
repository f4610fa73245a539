/** @file Frozen weights as float16 initialisers: what is cast, and what stays. The numbers: merge.test.ts. */
import { expect, test } from 'vitest';
import { verify } from '../../graph-builder/ir/graph.js';
import { isParameter } from '../../graph-builder/ir/types.js';
import { answerDecoderGraph, logitsGraph, questionEncoderGraph } from '../../graph-builder/models/miss.js';
import { setTrainable } from '../../graph-builder/rewrites/freeze.js';
import { halfWeights } from '../../graph-builder/rewrites/half-weights.js';
import { goldenConfig } from '../support/golden.js';

test.each([logitsGraph, questionEncoderGraph, answerDecoderGraph])(
  '%o: only casts and lookups read float16',
  (make) => {
    const graph = make(goldenConfig);
    const half = verify(halfWeights(graph, (p) => p.shape.length > 1));
    expect(half.parameters.map((p) => [p.name, p.dtype])).toEqual(
      graph.parameters.map((p) => [p.name, p.shape.length > 1 ? 'float16' : 'float32']),
    );
    const readers = half.nodes.filter((node) =>
      node.inputs.some((v) => isParameter(v) && v.dtype === 'float16'),
    );
    expect(new Set(readers.map((node) => node.op))).toEqual(new Set(['Cast', 'Gather']));
    // rows of the position table, not the whole of it
    const positions = readers.filter((node) => node.inputs[0]!.name.endsWith('position_embeddings.weight'));
    expect(new Set(positions.map((node) => node.op))).toEqual(new Set(['Gather']));
    expect(Object.entries(half.outputs).map(([name, v]) => [name, v.dtype, v.shape])).toEqual(
      Object.entries(graph.outputs).map(([name, v]) => [name, v.dtype, v.shape]),
    );
  },
);

test('trainable weights stay float32, and without float16 the graph stays as it is', () => {
  const graph = setTrainable(logitsGraph(goldenConfig), (p) => p.name.startsWith('text_decoder.'));
  expect(halfWeights(graph, () => false)).toBe(graph);
  const half = halfWeights(graph, () => true);
  for (const { trainable, dtype } of half.parameters) expect(dtype).toBe(trainable ? 'float32' : 'float16');
});
