/** @file Shapes that foreign models compute: known while reading, and never computed in the graph that comes out. */
import { describe, expect, test } from 'vitest';
import { FileError } from '../../graph-builder/errors.js';
import { printGraph } from '../../graph-builder/ir/graph.js';
import { readOnnx } from '../../graph-builder/onnx/read.js';
import {
  bothAnswers,
  type ForeignModel,
  type ForeignNode,
  foreignBytes,
  int64s,
  tensor,
} from '../support/foreign.js';
import { maxDifference } from '../support/golden.js';
import { valuesOf } from '../support/one-op.js';

const node = (
  outputs: string,
  op: string,
  inputs: string,
  attrs: ForeignNode['attrs'] = {},
): ForeignNode => ({
  op,
  inputs: inputs.split(' '),
  outputs: [outputs],
  attrs,
});
const axis = (i: number) => ({ axis: { i } });
const scalar = (name: string, value: number) => tensor(name, 'int64', [], [value]);

/** n = length of x's first axis, [n] and as a scalar */
const batch = [node('n', 'Shape', 'x', { start: { i: 0 }, end: { i: 1 } }), node('count', 'Squeeze', 'n')];
const samples = node('samples', 'Range', 'start count step');
const counting = [scalar('start', 0), scalar('step', 1)];

const cases: Readonly<Record<string, ForeignModel>> = {
  'Expand of a weight to the batch': {
    inputs: { x: ['batch', 2, 6] },
    nodes: [
      ...batch,
      node('shape', 'Concat', 'n two six', axis(0)),
      node('wide', 'Expand', 'w shape'),
      node('y', 'Concat', 'wide x', axis(1)),
    ],
    initialisers: [tensor('w', 'float32', [1, 6], [1, 2, 3, 4, 5, 6]), int64s('two', 2), int64s('six', 6)],
  },
  'Expand of a known row to the batch, in place of a weight': {
    inputs: { x: ['batch', 2] },
    nodes: [
      ...batch,
      node('shape', 'Concat', 'n three', axis(0)),
      node('ids', 'Expand', 'row shape'),
      node('y', 'Gather', 'table ids', axis(0)),
    ],
    initialisers: [
      tensor('table', 'float32', [3, 2], [1, 2, 3, 4, 5, 6]),
      tensor('row', 'int64', [1, 3], [2, 0, 2]),
      int64s('three', 3),
    ],
  },
  'Reshape by arithmetic on lengths': {
    inputs: { x: ['batch', 2, 6] },
    nodes: [
      node('shape', 'Shape', 'x'),
      node('front', 'Slice', 'shape zero two'),
      node('first', 'Gather', 'front zero', axis(0)),
      node('rows', 'Mul', 'first two'),
      node('third', 'Gather', 'shape minus', axis(0)),
      node('half', 'Div', 'third two'),
      node('is', 'Equal', 'half minus'),
      node('last', 'Where', 'is zero half'),
      node('target', 'Concat', 'rows last minus', axis(0)),
      node('y', 'Reshape', 'x target'),
    ],
    initialisers: [int64s('zero', 0), int64s('two', 2), int64s('minus', -1)],
  },
  'a mask read at (sample, key)': {
    inputs: { x: ['batch', 4] },
    nodes: [
      ...batch,
      samples,
      node('column', 'Unsqueeze', 'samples behind'),
      node('shape', 'Concat', 'n three one', axis(0)),
      node('first', 'Expand', 'column shape'),
      node('second', 'Expand', 'keys shape'),
      node('places', 'Concat', 'first second', axis(-1)),
      node('y', 'GatherND', 'x places'),
    ],
    initialisers: [
      ...[...counting, int64s('behind', 1, 2), int64s('three', 3), int64s('one', 1)],
      tensor('keys', 'int64', [1, 3, 1], [3, 0, 1]),
    ],
  },
  'a mask read at sample · keys + key': {
    inputs: { x: ['batch', 4] },
    nodes: [
      ...batch,
      samples,
      node('column', 'Unsqueeze', 'samples behind'),
      node('starts', 'Mul', 'column four'),
      node('places', 'Add', 'keys starts'),
      node('flat', 'Flatten', 'x', axis(2)),
      node('y', 'Gather', 'flat places', axis(0)),
    ],
    initialisers: [
      ...counting,
      int64s('behind', 1),
      int64s('four', 4),
      tensor('keys', 'int64', [1, 4], [0, 1, 2, 3]),
    ],
  },
  'a mask that is one for all samples': {
    inputs: { x: ['batch', 3] },
    nodes: [
      ...batch,
      node('shape', 'Concat', 'n three', axis(0)),
      node('ones', 'ConstantOfShape', 'shape', { value: { t: int64s('', 1) } }),
      node('places', 'CumSum', 'ones last'),
      node('cut', 'Slice', 'places one three last'),
      node('mask', 'Less', 'cut three'),
      node('part', 'Slice', 'x one three last'),
      node('y', 'Where', 'mask part low'),
    ],
    initialisers: [
      int64s('one', 1),
      int64s('three', 3),
      int64s('last', 1),
      tensor('low', 'float32', [], [-100]),
    ],
  },
};

test.each(Object.entries(cases))('%s', async (_name, model) => {
  const { theirs, ours, graph } = await bothAnswers(model);
  expect(ours.dims).toEqual(theirs.dims);
  expect(maxDifference(valuesOf(ours), valuesOf(theirs))).toBe(0);
  expect(printGraph(graph)).not.toMatch(/(Shape|Range|ConstantOfShape|GatherND)\(/);
});

describe('what depends on lengths in another way is refused', () => {
  const refuse = (model: ForeignModel) => {
    try {
      readOnnx(foreignBytes(model), 'f.onnx');
    } catch (error) {
      expect(error).toBeInstanceOf(FileError);
      return error as FileError;
    }
    throw new Error('it was read');
  };

  test('the position in a sequence against another position of it: not all equal', () => {
    const model = {
      inputs: { x: ['batch', 3] },
      nodes: [
        ...batch,
        samples,
        node('column', 'Unsqueeze', 'samples one'),
        node('mask', 'LessOrEqual', 'column samples'),
        node('numbers', 'Cast', 'mask', { to: { i: 1 } }),
        node('y', 'MatMul', 'numbers x'),
      ],
      initialisers: [...counting, int64s('one', 1)],
    };
    expect(refuse(model).what).toBe('its numbers depend on an axis length: #batch');
  });

  test.each<[string, ForeignNode[], string]>([
    [
      'a length as a number',
      [node('f', 'Cast', 'n', { to: { i: 1 } }), node('y', 'Mul', 'x f')],
      'depend on an axis length: batch',
    ],
    ['a range that ends at a length', [node('y', 'Slice', 'x one n one')], 'Slice ends at batch'],
    [
      'a shape of run time',
      [node('i', 'Cast', 'x', { to: { i: 7 } }), node('y', 'Reshape', 'x i')],
      'is computed at run time',
    ],
    [
      'two axes that change places',
      [node('s', 'Shape', 'z'), node('t', 'Gather', 's swap'), node('y', 'Reshape', 'z t')],
      'cannot be reshaped',
    ],
  ])('%s', (_name, nodes, what) => {
    const error = refuse({
      inputs: { x: ['batch', 3], z: ['rows', 'columns', 3] },
      nodes: [...batch, ...nodes],
      initialisers: [int64s('one', 1), int64s('swap', 1, 0, 2)],
    });
    expect(error.what).toContain(what);
    expect(error.remedy).toMatch(/export the model with/);
  });
});
