/** @file Single operators of foreign models: read and written again, they give what ONNX Runtime gives. */
import { expect, test } from 'vitest';
import { bothAnswers, type ForeignModel, type ForeignNode, int64s, tensor } from '../support/foreign.js';
import { maxDifference } from '../support/golden.js';
import { seededNormal, sizeOf, valuesOf } from '../support/one-op.js';

const X = ['batch', 2, 6];
const IMAGE = ['batch', 4, 7, 6];
const one = (
  op: string,
  attrs: ForeignNode['attrs'] = {},
  shape: ForeignModel['inputs'][string] = X,
): ForeignModel => ({
  inputs: { x: shape },
  nodes: [{ op, inputs: ['x'], attrs }],
});
const withInts = (
  op: string,
  ints: Record<string, number[]>,
  attrs: ForeignNode['attrs'] = {},
): ForeignModel => ({
  ...one(op),
  nodes: [{ op, inputs: ['x', ...Object.keys(ints)], attrs }],
  initialisers: Object.entries(ints).map(([name, data]) => int64s(name, ...data)),
});
const number = (name: string, value: number) => tensor(name, 'float32', [], [value]);
const weights = (name: string, dims: readonly number[]) =>
  tensor(name, 'float32', dims, Array.from(seededNormal(9)(sizeOf(dims))));
const square = { kernel_shape: { ints: [3, 3] }, strides: { ints: [2, 2] } };
const gemm = (attrs: ForeignNode['attrs'], c: readonly number[]): ForeignModel => ({
  inputs: { x: ['batch', 4] },
  nodes: [{ op: 'Gemm', inputs: ['x', 'w', 'c'], attrs }],
  initialisers: [weights('w', [4, 5]), weights('c', c)],
});
const conv = (attrs: ForeignNode['attrs'], kernel: readonly number[], image = IMAGE): ForeignModel => ({
  inputs: { x: image },
  nodes: [{ op: 'Conv', inputs: ['x', 'w'], attrs }],
  initialisers: [weights('w', kernel)],
});

const cases: Readonly<Record<string, ForeignModel>> = {
  'Gemm with factors': gemm({ alpha: { f: 0.5 }, beta: { f: 2 } }, [5]),
  'Gemm with a scalar for a row': gemm({}, [1, 1]),
  'Gemm with a factor and no row': {
    ...gemm({ alpha: { f: 0.5 } }, [5]),
    nodes: [{ op: 'Gemm', inputs: ['x', 'w'], attrs: { alpha: { f: 0.5 } } }],
  },
  'Conv without attributes': conv({}, [3, 4, 3, 2]),
  'Conv, SAME_UPPER': conv({ auto_pad: { s: 'SAME_UPPER' }, strides: { ints: [2, 2] } }, [3, 4, 3, 2]),
  'Conv, SAME_LOWER': conv({ auto_pad: { s: 'SAME_LOWER' } }, [3, 4, 2, 2]),
  'Conv, VALID, two groups': conv({ auto_pad: { s: 'VALID' }, group: { i: 2 } }, [6, 2, 3, 3]),
  'Conv on one axis': conv({ pads: { ints: [1, 1] } }, [2, 2, 3], ['batch', 2, 6]),
  'MaxPool without strides': one('MaxPool', { kernel_shape: { ints: [3, 2] } }, IMAGE),
  'MaxPool with pads': one('MaxPool', { ...square, pads: { ints: [1, 1, 0, 1] } }, IMAGE),
  'MaxPool, ceil_mode where nothing is left': one(
    'MaxPool',
    { kernel_shape: { ints: [3, 2] }, ceil_mode: { i: 1 } },
    IMAGE,
  ),
  AveragePool: one('AveragePool', square, IMAGE),
  'AveragePool that counts pads': one(
    'AveragePool',
    { ...square, pads: { ints: [1, 1, 1, 1] }, count_include_pad: { i: 1 } },
    IMAGE,
  ),
  GlobalAveragePool: one('GlobalAveragePool', {}, IMAGE),
  'LayerNormalization without a bias': {
    inputs: { x: X },
    nodes: [{ op: 'LayerNormalization', inputs: ['x', 'w'], attrs: { axis: { i: 2 } } }],
    initialisers: [weights('w', [6])],
  },
  'Softmax without axis': one('Softmax'),
  'Softmax on axis 1': one('Softmax', { axis: { i: 1 } }),
  LogSoftmax: one('LogSoftmax', { axis: { i: 1 } }),
  'Gelu, approximated': { ...one('Gelu', { approximate: { s: 'tanh' } }), opset: 20 },
  'Gelu of opset 20': { ...one('Gelu'), opset: 20 },
  'Gelu of com.microsoft': {
    inputs: { x: X },
    nodes: [{ op: 'Gelu', inputs: ['x'], domain: 'com.microsoft' }],
  },
  LeakyRelu: one('LeakyRelu'),
  HardSigmoid: one('HardSigmoid'),
  HardSwish: one('HardSwish'),
  'Clip with one bound': {
    inputs: { x: X },
    nodes: [{ op: 'Clip', inputs: ['x', '', 'most'] }],
    initialisers: [number('most', 0.5)],
  },
  'IsNaN of 0 / 0': {
    inputs: { x: X },
    nodes: [
      { op: 'Sub', inputs: ['x', 'x'] },
      { op: 'Div', inputs: ['v0', 'v0'] },
      { op: 'IsNaN', inputs: ['v1'] },
    ],
  },
  'Dropout in evaluation': {
    inputs: { x: X },
    nodes: [
      { op: 'Dropout', inputs: ['x'] },
      { op: 'Neg', inputs: ['v0'] },
    ],
  },
  'Cast to what it is, and CastLike': {
    inputs: { x: X, ids: ['batch', 1, 1] },
    nodes: [
      { op: 'Cast', inputs: ['x'], attrs: { to: { i: 1 } } },
      { op: 'CastLike', inputs: ['ids', 'x'] },
      { op: 'Add', inputs: ['v0', 'v1'] },
    ],
  },
  'ReduceMean with axes as attribute': {
    ...one('ReduceMean', { axes: { ints: [-1] }, keepdims: { i: 0 } }),
    opset: 13,
  },
  'ReduceSum over everything': one('ReduceSum', { keepdims: { i: 0 } }),
  'ReduceMax with axes as input': withInts('ReduceMax', { axes: [1, 2] }),
  'ReduceSum over nothing': one('ReduceSum', { noop_with_empty_axes: { i: 1 } }),
  'CumSum along an axis': {
    inputs: { x: X },
    nodes: [{ op: 'CumSum', inputs: ['x', 'axis'], attrs: { reverse: { i: 1 } } }],
    initialisers: [tensor('axis', 'int64', [], [2])],
  },
  'Transpose without perm': one('Transpose'),
  'Flatten at 2': one('Flatten', { axis: { i: 2 } }),
  'Flatten at 0': one('Flatten', { axis: { i: 0 } }),
  'Squeeze of what is 1': one('Squeeze', {}, [1, 2, 1, 3]),
  'Squeeze at -2': { ...withInts('Squeeze', { axes: [-2] }), inputs: { x: ['batch', 1, 6] } },
  'Unsqueeze at both ends': withInts('Unsqueeze', { axes: [0, -1] }),
  'Reshape, 0 and -1': withInts('Reshape', { shape: [0, -1] }),
  'Split into equal parts by outputs': {
    ...one('Split', { axis: { i: -1 } }),
    nodes: [
      {
        op: 'Split',
        inputs: ['x'],
        outputs: ['a', 'b', 'c'],
        attrs: { axis: { i: -1 }, num_outputs: { i: 3 } },
      },
      { op: 'Sub', inputs: ['c', 'a'] },
    ],
  },
  'Split with a smaller last part': {
    ...one('Split'),
    nodes: [
      { op: 'Split', inputs: ['x'], outputs: ['a', 'b'], attrs: { axis: { i: 2 }, num_outputs: { i: 2 } } },
      { op: 'Concat', inputs: ['b', 'a', 'b'], attrs: { axis: { i: -1 } } },
    ],
    inputs: { x: ['batch', 2, 5] },
  },
  'Slice to the largest integer': withInts('Slice', { starts: [1], ends: [9007199254740991], axes: [-1] }),
  'Slice without axes': withInts('Slice', { starts: [0, 1], ends: [1000, 2] }),
  'Slice of everything': withInts('Slice', { starts: [0], ends: [1000], axes: [1], steps: [1] }),
  'Gather of the last element': {
    inputs: { x: X },
    nodes: [{ op: 'Gather', inputs: ['x', 'at'], attrs: { axis: { i: 1 } } }],
    initialisers: [tensor('at', 'int64', [], [-1])],
  },
  'Gather at a row of one': withInts('Gather', { at: [2] }, { axis: { i: 2 } }),
  'Gather by indices of run time': {
    inputs: { ids: ['batch', 5] },
    nodes: [{ op: 'Gather', inputs: ['table', 'ids'] }],
    initialisers: [weights('table', [4, 3])],
  },
  GatherElements: {
    inputs: { x: [2, 3] },
    nodes: [{ op: 'GatherElements', inputs: ['x', 'at'], attrs: { axis: { i: 1 } } }],
    initialisers: [tensor('at', 'int64', [2, 2], [0, 2, 1, 1])],
  },
  'GatherND at fixed places': {
    inputs: { x: [2, 3, 4] },
    nodes: [{ op: 'GatherND', inputs: ['x', 'at'] }],
    initialisers: [tensor('at', 'int64', [3, 2], [0, 1, -1, 2, 0, 0])],
  },
  'numbers one by one instead of as bytes': {
    inputs: { x: X },
    nodes: [{ op: 'Mul', inputs: ['x', 'w'] }],
    initialisers: [{ name: 'w', dataType: 1, dims: [6], floatData: [1, 2, 3, 4, 5, 6] }],
  },
};

test.each(Object.entries(cases))('%s', async (_name, model) => {
  const { theirs, ours } = await bothAnswers(model);
  expect(ours.dims).toEqual(theirs.dims);
  // other kernels, sums in another order
  expect(maxDifference(valuesOf(ours), valuesOf(theirs))).toBeLessThan(2e-6);
});
