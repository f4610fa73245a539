/** @file No node of a graph that trains or serves is left to the CPU. */
import { expect, test } from 'vitest';
import { GraphBuilder } from '../../../graph-builder/ir/builder.js';
import { cpuNodes } from '../../../training-artifacts/devices/cuda-partition.js';
import { gradientsOf } from '../../../training-artifacts/ort-training/graphs.js';
import { caseName, forwardOf, ortCases } from '../../oracles/ort_training/cases.js';
import { goldenConfig } from '../../support/golden.js';
import { graphsOf, trainingGraph } from '../../support/models.js';

test.each(ortCases.map((c) => [caseName(c), c] as const))(
  'training %s, with dropout and without',
  (_, which) => {
    const { variant, placement } = which;
    expect(cpuNodes(trainingGraph(goldenConfig, variant, { placement }))).toEqual([]);
    expect(cpuNodes(gradientsOf(forwardOf(which)))).toEqual([]);
  },
);

test.each(Object.entries(graphsOf(goldenConfig)))('%s', (_, graph) => {
  expect(cpuNodes(graph)).toEqual([]);
});

test('a dtype without a kernel is listed with its node', () => {
  const g = new GraphBuilder();
  const [mask, other] = [g.input('mask', 'bool', [3]), g.input('other', 'bool', [3])];
  const chosen = g.op('Where', [mask, mask, other], {});
  const root = g.op('Sqrt', [g.input('n', 'int32', [3])], {});
  const fine = g.add(g.input('a', 'int32', [3]), g.input('b', 'int32', [3]));
  expect(cpuNodes(g.finish({ chosen, root, fine }))).toEqual([
    { name: chosen.name, op: 'Where', why: 'no kernel for bool in input 2' },
    { name: root.name, op: 'Sqrt', why: 'no kernel for int32 in input 1' },
  ]);
});
