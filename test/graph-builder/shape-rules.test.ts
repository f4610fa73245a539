/** @file Shape rules of the operators: what is refused, and what the message says. */
import { describe, expect, test } from 'vitest';
import { ShapeError } from '../../graph-builder/errors.js';
import type { GraphBuilder } from '../../graph-builder/ir/builder.js';
import type { Value } from '../../graph-builder/ir/types.js';
import { withInputs } from '../support/with-inputs.js';

describe('shape rules', () => {
  const shapes = {
    ...{ a: [2, 3], b: [4, 5], row: [3], cube: [2, 3, 4], stack: [5, 4, 2] },
    ...{ image: [1, 3, 5, 5], kernel: [4, 3, 2, 2], open: ['batch', 3, 'height', 5] },
  };
  type Values = Record<keyof typeof shapes, Value>;
  const window = { strides: [1, 1], pads: [0, 0, 0, 0] };

  test.each<[string, (g: GraphBuilder, v: Values) => unknown, string, string, string]>([
    [
      'MatMul',
      (g, { a, b }) => g.matmul(a, b),
      'inner axes differ: 3 and 4',
      'MatMul(a float32[2,3], b float32[4,5])',
      'g.linear',
    ],
    [
      'MatMul, leading axes',
      (g, { cube, stack }) => g.matmul(cube, stack),
      'leading axes do not broadcast',
      'cube float32[2,3,4]',
      'equal or 1',
    ],
    [
      'MatMul, a vector',
      (g, { a, row }) => g.matmul(a, row),
      'both sides need at least two axes',
      'row float32[3]',
      'reshape',
    ],
    [
      'Gemm',
      (g, { a, b }) => g.linear(a, b),
      'inner axes differ: 3 and 5',
      'Gemm transA=0 transB=1(a float32[2,3], b float32[4,5])',
      'flatten',
    ],
    [
      'Gemm, three axes',
      (g, { cube, b }) => g.linear(cube, b),
      'two axes',
      'cube float32[2,3,4]',
      'flatten the input to [rows, in]',
    ],
    [
      'Gemm, row',
      (g, { a, row }) => g.linear(a, a, row),
      'the row [3] is not [2]',
      'row float32[3]',
      'length 2',
    ],
    [
      'Add',
      (g, { a, b }) => g.add(a, b),
      'do not broadcast',
      'Add(a float32[2,3], b float32[4,5])',
      'equal or 1',
    ],
    [
      'Add, dtypes',
      (g, { a }) => g.add(a, g.cast(a, 'int32')),
      'dtypes do not broadcast',
      'int32[2,3]',
      'equal or 1',
    ],
    [
      'LayerNormalization',
      (g, { a, b }) => g.op('LayerNormalization', [a, b, b], { axis: -1, epsilon: 1e-6 }),
      'length of the last axis',
      'LayerNormalization(a',
      'length 3',
    ],
    [
      'Reshape',
      (g, { a }) => g.reshape(a, [7]),
      'cannot reshape to [7]',
      'Reshape(a float32[2,3])',
      'product of the axes equal',
    ],
    [
      'Reshape, -1',
      (g, { a }) => g.op('Reshape', [a], { shape: [4, -1] }),
      'cannot reshape to [4,-1]',
      'Reshape(a float32[2,3])',
      'product',
    ],
    [
      'Transpose',
      (g, { a }) => g.op('Transpose', [a], { perm: [0, 2, 1] }),
      'perm [0,2,1] does not fit',
      'Transpose(a',
      'one entry an axis',
    ],
    [
      'Transpose, an axis twice',
      (g, { a }) => g.op('Transpose', [a], { perm: [0, 0] }),
      'perm [0,0] does not fit',
      'Transpose(a',
      'one entry an axis',
    ],
    [
      'Concat',
      (g, { a, b }) => g.op('Concat', [a, b], { axis: 0 }),
      'only the joined axis may differ',
      'Concat(a float32[2,3], b',
      'axis 0',
    ],
    [
      'Split',
      (g, { a }) => g.op('Split', [a], { axis: 1, split: [1, 1] }),
      'parts [1,1] do not add up',
      'Split(a',
      'their sum must be 3',
    ],
    [
      'Expand',
      (g, { a }) => g.op('Expand', [a], { shape: [2, 4] }),
      'cannot expand to [2,4]',
      'Expand(a float32[2,3])',
      'length 1',
    ],
    [
      'Where',
      (g, { a, b }) => g.op('Where', [g.op('Equal', [a, a], {}), b, b], {}),
      'do not broadcast',
      'Where(',
      'equal or 1',
    ],
    [
      'ReduceSum',
      (g, { a }) => g.reduceSum(a, [2]),
      'axis 2 is out of range',
      'ReduceSum(a float32[2,3])',
      'between -2 and 1',
    ],
    [
      'Gather',
      (g, { a }) => g.gather(a, g.constant([0], [1], 'int64'), 2),
      'axis 2 is out of range',
      'Gather(a float32[2,3]',
      'between -2 and 1',
    ],
    [
      'Conv, channels',
      (g, { image, kernel }) => g.op('Conv', [image, kernel], { ...window, group: 3 }),
      'the weight reads 9 channels of 3',
      'Conv(image float32[1,3,5,5], kernel',
      'check group',
    ],
    [
      'Conv, window',
      (g, { image, kernel }) => g.op('Conv', [image, kernel], { ...window, dilations: [5, 5], group: 1 }),
      'no window of [2,2] fits',
      'Conv(image',
      'larger input',
    ],
    [
      'Conv, axes',
      (g, { cube, kernel }) => g.op('Conv', [cube, kernel], { ...window, group: 1 }),
      'a window of 2 axes does not fit',
      'Conv(cube float32[2,3,4]',
      'two pads for each axis',
    ],
    [
      'Conv, an axis of unknown length',
      (g, { open, kernel }) => g.op('Conv', [open, kernel], { ...window, group: 1 }),
      'the length of an axis of [batch,3,height,5] is not known',
      'Conv(open',
      'all axes but the batch fixed',
    ],
    [
      'ConvTranspose, channels',
      (g, { image, kernel }) =>
        g.op('ConvTranspose', [image, kernel], { ...window, group: 1, output_padding: [0, 0] }),
      'the weight reads 4 channels of 3',
      'ConvTranspose(image',
      'check group',
    ],
    [
      'MaxPool',
      (g, { image }) => g.op('MaxPool', [image], { ...window, kernel_shape: [6, 6] }),
      'no window of [6,6] fits',
      'MaxPool(image',
      'more padding',
    ],
    [
      'BatchNormalization',
      (g, { image, row, b }) => g.op('BatchNormalization', [image, row, row, b, row], { epsilon: 1e-5 }),
      'one number a channel',
      'BatchNormalization(image',
      'length 3',
    ],
  ])('%s says what, where and what to do', (_name, build, what, place, remedy) => {
    const { g, ...values } = withInputs<keyof Values>(shapes);
    let error: unknown;
    try {
      build(g, values);
    } catch (e) {
      error = e;
    }
    expect(error).toBeInstanceOf(ShapeError);
    const shown = error as ShapeError;
    expect(shown.what).toContain(what);
    expect(shown.where).toContain(place);
    expect(shown.remedy).toContain(remedy);
    expect(shown.message).toBe(`${shown.what}\n  where: ${shown.where}\n  to do: ${shown.remedy}`);
  });

  test('negative axes count from the end', () => {
    const { g, cube } = withInputs(shapes);
    expect(g.gather(cube, g.constant([0, 1], [2], 'int64'), -1).shape).toEqual([2, 3, 2]);
    expect(g.reduceSum(cube, [-1, -3]).shape).toEqual([3]);
    expect(g.op('Concat', [cube, cube], { axis: -1 }).shape).toEqual([2, 3, 8]);
  });
});
