/** @file What cannot be read or differentiated is named: operator, node, file and what to do. */
import { describe, expect, test } from 'vitest';
import { FileError, UserError } from '../../graph-builder/errors.js';
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { supportedOperators } from '../../graph-builder/gradients/supported.js';
import { GraphBuilder } from '../../graph-builder/ir/builder.js';
import { onnxTypes } from '../../graph-builder/ir/dtypes.js';
import type { Graph } from '../../graph-builder/ir/types.js';
import { readOnnx } from '../../graph-builder/onnx/read.js';
import { setTrainable } from '../../graph-builder/rewrites/freeze.js';
import { type ForeignModel, type ForeignNode, foreignBytes, int64s, tensor } from '../support/foreign.js';
import { fixtureBytes } from '../support/imports.js';

function refusal(bytes: Uint8Array): FileError {
  try {
    readOnnx(bytes, 'their.onnx', { inlineWeights: true });
  } catch (error) {
    expect(error).toBeInstanceOf(FileError);
    return error as FileError;
  }
  throw new Error('it was read');
}

const x = { inputs: { x: ['batch', 2, 6] } };
const oneNode = (n: Omit<ForeignNode, 'name'>, rest: Partial<ForeignModel> = {}): Uint8Array =>
  foreignBytes({ ...x, nodes: [{ ...n, name: '/layer/it' }], ...rest });

describe('a node that cannot be read', () => {
  test.each<[string, Uint8Array, string, RegExp]>([
    ['an operator', oneNode({ op: 'Det', inputs: ['x'] }), 'operator Det is not supported', /README/],
    [
      'an operator of another domain',
      oneNode({ op: 'Relu', inputs: ['x'], domain: 'x.y' }),
      'operator x.y.Relu is not',
      /README/,
    ],
    [
      'control flow',
      oneNode({ op: 'If', inputs: ['x'] }),
      'If decides at run time what is computed',
      /control flow/,
    ],
    ['a loop', oneNode({ op: 'Loop', inputs: ['x'] }), 'Loop decides at run time', /control flow/],
    [
      'an attribute',
      oneNode({ op: 'Softmax', inputs: ['x'], attrs: { temperature: { f: 2 } } }),
      'Softmax with attribute temperature',
      /opset/,
    ],
    [
      'an attribute of another type',
      oneNode({ op: 'Softmax', inputs: ['x'], attrs: { axis: { s: 'last' } } }),
      'attribute axis is no number',
      /opset/,
    ],
    [
      'shapes that do not fit',
      oneNode({ op: 'MatMul', inputs: ['x', 'x'] }),
      'inner axes differ: 6 and 2',
      /Gemm/,
    ],
    [
      'an axis out of range',
      oneNode(
        { op: 'Softmax', inputs: ['x', 'x'], attrs: {} },
        {
          nodes: [{ op: 'ReduceMax', inputs: ['x', 'axes'], name: '/layer/it' }],
          initialisers: [int64s('axes', 5)],
        },
      ),
      'axis 5 is out of range',
      /between/,
    ],
    ['a missing input', oneNode({ op: 'MatMul', inputs: ['x'] }), 'MatMul lacks its input 1', /opset/],
    [
      'a type',
      oneNode({ op: 'Cast', inputs: ['x'], attrs: { to: { i: 11 } } }),
      'tensor type 11 is not supported',
      /opset/,
    ],
    [
      'steps',
      oneNode(
        { op: 'Slice', inputs: ['x', 'a', 'b', 'a', 'c'] },
        { initialisers: [int64s('a', 0), int64s('b', 2), int64s('c', 2)] },
      ),
      'Slice with steps other than 1',
      /reshape/,
    ],
    [
      'dropout in training',
      oneNode({ op: 'Dropout', inputs: ['x', '', 'on'] }, { initialisers: [tensor('on', 'bool', [], [1])] }),
      'Dropout in training mode',
      /eval/,
    ],
    [
      'pooling',
      oneNode({
        op: 'MaxPool',
        inputs: ['x'],
        attrs: { kernel_shape: { ints: [2] }, strides: { ints: [3] }, ceil_mode: { i: 1 } },
      }),
      'MaxPool with ceil_mode 1',
      /pad/,
    ],
  ])('%s is named with its node, file and a remedy', (_name, bytes, what, remedy) => {
    const error = refusal(bytes);
    expect(error.what).toContain(what);
    expect(error.where).toContain('their.onnx, node /layer/it');
    expect(error.remedy).toMatch(remedy);
  });

  test('a value that nobody makes, and one that is made twice', () => {
    expect(refusal(oneNode({ op: 'Relu', inputs: ['lost'] })).what).toBe('lost is read before it is made');
    const twice = { op: 'Relu', inputs: ['x'], outputs: ['x'] };
    expect(refusal(oneNode(twice)).what).toBe('x is made twice');
  });
});

test('constants that a small file blows up are refused by the sum of their sizes', () => {
  const filled = ['a', 'b', 'c'].map(
    (name): ForeignNode => ({ op: 'ConstantOfShape', inputs: ['size'], outputs: [name], name }),
  );
  const reshaped = { op: 'Reshape', inputs: ['a', 'flat'], outputs: ['d'] };
  const initialisers = [int64s('size', 20, 20), int64s('flat', -1)];
  const read = (nodes: readonly ForeignNode[]) => () => {
    const bytes = foreignBytes({ ...x, nodes: [...nodes, { op: 'Relu', inputs: ['x'] }], initialisers });
    return readOnnx(bytes, 'their.onnx', { mostComputed: 1000 });
  };
  // the same numbers under another shape take no memory
  expect(read([...filled.slice(0, 2), reshaped])).not.toThrow();
  expect(read(filled)).toThrow(
    /^the tensors that are computed from constants have more than 1000 entries in all\n {2}where: their\.onnx, node c\n {2}to do: export them/,
  );
});

test.each([12, 24, 0])('opset %i is refused', (opset) => {
  const error = refusal(oneNode({ op: 'Relu', inputs: ['x'] }, { opset }));
  expect(error.what).toBe(`the model has ai.onnx opset ${opset}`);
  expect(error.remedy).toContain('opset from 13 to 23');
});

test('weights of half precision are named', () => {
  const half = { name: 'w', dataType: onnxTypes.float16, dims: [2], rawData: new Uint8Array(4) };
  const error = refusal(oneNode({ op: 'Relu', inputs: ['w'] }, { initialisers: [half] }));
  expect([error.what, error.where]).toEqual(['float16 numbers are not read', 'w']);
});

test('a damaged model of another exporter is a FileError', () => {
  const bytes = fixtureBytes('mlp');
  for (let at = 0; at < 400; at += 3) {
    const damaged = new Uint8Array(bytes);
    damaged[(at * 13) % bytes.length]! ^= 1 + (at % 255);
    try {
      readOnnx(damaged, 'damaged.onnx', { inlineWeights: true });
    } catch (error) {
      expect(error).toBeInstanceOf(FileError);
    }
  }
});

describe('a gradient that is not there', () => {
  const graphOf = (model: ForeignModel): Graph =>
    setTrainable(readOnnx(foreignBytes(model), 'f.onnx', { inlineWeights: true }).graph, () => true);
  function sumOf(graph: Graph) {
    const g = new GraphBuilder(graph);
    const [y] = Object.values(graph.outputs);
    const loss = g.reduceSum(g.cast(y!, 'float32'), [...y!.shape.keys()]);
    return { graph: g.finish({ loss }), loss };
  }
  function refused(graph: Graph): UserError {
    const { graph: whole, loss } = sumOf(graph);
    try {
      differentiate(whole, { loss });
    } catch (error) {
      expect(error).toBeInstanceOf(UserError);
      return error as UserError;
    }
    throw new Error('it was differentiated');
  }
  const w = (...dims: number[]) =>
    tensor('w', 'float32', dims, new Array(dims.reduce((p, n) => p * n, 1)).fill(2));

  test('of an exponent', () => {
    const error = refused(
      graphOf({ ...x, nodes: [{ op: 'Pow', inputs: ['x', 'w'], name: '/pow' }], initialisers: [w(6)] }),
    );
    expect(error.what).toBe('Pow has no gradient here: the exponent is trained');
    expect([error.where, error.remedy]).toEqual(['node /pow', 'freeze it']);
  });

  test('of an operator without a rule', () => {
    const g = new GraphBuilder();
    const kernel = g.parameter('w', [2, 3, 2, 2], 'zeros', true);
    const attrs = { strides: [1, 1], pads: [0, 0, 0, 0], group: 1, output_padding: [0, 0] };
    const y = g.op('ConvTranspose', [g.input('x', 'float32', ['batch', 2, 4, 4]), kernel], attrs);
    const error = refused(g.finish({ y }));
    expect(error.what).toContain('ConvTranspose has no gradient here');
    expect(error.where).toBe(`node ${y.name}`);
  });

  test('where two axes of unknown length would have to change places', () => {
    const g = new GraphBuilder();
    const table = g.gather(
      g.parameter('w', [4, 3], 'zeros', true),
      g.input('ids', 'int64', ['batch', 'tokens']),
    );
    const y = g.op('Reshape', [table], { shape: [-1, 3] });
    const error = refused(g.finish({ y }));
    expect(error.what).toBe('Reshape has no gradient here: no shape input describes [batch,tokens,3]');
    expect(error.remedy).toBe('export the model with one of the axes fixed');
  });

  test('of a weight that only decides: nothing flows back through a comparison', () => {
    const error = refused(
      graphOf({ ...x, nodes: [{ op: 'Less', inputs: ['x', 'w'] }], initialisers: [w(6)] }),
    );
    expect([error.what, error.where]).toEqual(['the loss does not depend on w', 'w']);
  });
});

test('the table of operators is sorted and says what is differentiable', () => {
  const table = supportedOperators();
  expect(table.map(({ op }) => op)).toEqual(table.map(({ op }) => op).sort());
  const of = (name: string) => table.find(({ op }) => op === name);
  expect(of('Conv')).toEqual({ op: 'Conv', domain: '', differentiable: true, internal: false });
  expect(of('Gelu')).toEqual({ op: 'Gelu', domain: 'com.microsoft', differentiable: true, internal: false });
  expect([of('Equal')!.differentiable, of('ConvTranspose')!.differentiable]).toEqual([false, false]);
  expect([of('Equal')!.internal, of('MatMulNBits')!.internal]).toEqual([false, true]);
});
