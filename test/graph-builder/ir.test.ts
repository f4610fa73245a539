/** @file The IR: axis arithmetic, the builder, the verifier and pruning. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ShapeError } from '../../graph-builder/errors.js';
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { GraphBuilder } from '../../graph-builder/ir/builder.js';
import { broadcast, product, quotient, sum } from '../../graph-builder/ir/dim.js';
import { printGraph, prune, verify } from '../../graph-builder/ir/graph.js';
import type { Dim, Graph, Shape, Value } from '../../graph-builder/ir/types.js';
import { withInputs } from '../support/with-inputs.js';

/** Distinct primes, so that different products of axes have different numbers. */
const lengths: Readonly<Record<string, number>> = { batch: 101, tokens: 103, images: 107 };
const evaluate = (dim: Dim): number =>
  String(dim)
    .split('*')
    .reduce((p, part) => p * (lengths[part] ?? Number(part)), 1);
const axis = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constantFrom(...Object.keys(lengths)));
const axes = fc.array(axis, { maxLength: 4 });

describe('axis lengths', () => {
  test('product has the value of the product, in one form', () => {
    fc.assert(
      fc.property(axes, axes, (a, b) => {
        expect(evaluate(product([...a, ...b]))).toBe(evaluate(product(a)) * evaluate(product(b)));
        expect(product([...b, ...a])).toBe(product([product(a), product(b)]));
      }),
    );
  });

  test('quotient undoes product and refuses what does not divide', () => {
    fc.assert(
      fc.property(axes, axes, (a, b) => {
        expect(quotient(product([...a, ...b]), product(b))).toBe(product(a));
        const part = product(b);
        const result = quotient(product(a), part);
        const exact = evaluate(product(a)) / evaluate(part);
        expect(result === undefined ? undefined : evaluate(result)).toBe(
          Number.isInteger(exact) ? exact : undefined,
        );
      }),
    );
    expect(quotient('17*batch', 17)).toBe('batch');
    expect(quotient('batch', 'tokens')).toBeUndefined();
    expect(quotient(12, 0)).toBeUndefined();
  });

  test('sum adds numbers and names', () => {
    expect([sum([1, 2]), sum(['past', 1]), sum([]), sum(['past', 0])]).toEqual([3, 'past+1', 0, 'past']);
  });

  test('broadcast equals the definition on aligned axes', () => {
    const small = fc.array(fc.constantFrom<Dim>(1, 2, 3, 'batch'), { maxLength: 4 });
    fc.assert(
      fc.property(small, small, (a, b) => {
        const rank = Math.max(a.length, b.length);
        const pad = (s: Shape) => [...Array<Dim>(rank - s.length).fill(1), ...s];
        const pairs = pad(a).map((x, i) => new Set([x, pad(b)[i]!].filter((d) => d !== 1)));
        const expected = pairs.some((p) => p.size > 1) ? undefined : pairs.map((p) => [...p][0] ?? 1);
        expect(broadcast(a, b)).toEqual(expected);
        expect(broadcast(b, a)).toEqual(expected);
      }),
    );
  });
});

/** Elements 0, 1, 2 … of `shape` in their order after a transposition. */
function transposed(elements: readonly number[], shape: readonly number[], perm: readonly number[]) {
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((p, n) => p * n, 1));
  const target = perm.map((p) => shape[p]!);
  const walk = (depth: number, offset: number): number[] =>
    depth === perm.length
      ? [elements[offset]!]
      : Array.from({ length: target[depth]! }, (_, i) =>
          walk(depth + 1, offset + i * strides[perm[depth]!]!),
        ).flat();
  return { elements: walk(0, 0), shape: target };
}

describe('builder', () => {
  test('equal nodes and constants are made once', () => {
    const { g, x, y } = withInputs({ x: [2, 3], y: [3] });
    expect(g.add(x, y)).toBe(g.add(x, y));
    expect(g.add(x, y)).not.toBe(g.add(y, x));
    expect(g.mul(x, 2)).toBe(g.mul(x, 2));
    expect(g.mul(x, 2)).not.toBe(g.mul(x, 3));
    expect(g.mul(x, 1)).toBe(x);
    expect(g.reduceSum(x, [0])).not.toBe(g.reduceSum(x, [1]));
    expect(g.reduceSum(x, [0])).toBe(g.op('ReduceSum', [x], { keepdims: 0, axes: [0] }));
    expect(g.constant([1, 2], [2])).toBe(g.constant([1, 2], [2]));
    expect(g.constant([1, 2], [2])).not.toBe(g.constant([1, 2], [1, 2]));
    expect(g.constant([1], [], 'int32')).not.toBe(g.constant([1], []));
    expect(g.parameter('w', [2])).toBe(g.parameter('w', [2]));
    const graph = verify(g.finish({}));
    expect(new GraphBuilder(graph).add(x, y)).toBe(graph.nodes[0]!.outputs[0]);
  });

  test('transposes are composed; the identity is dropped', () => {
    const perms = fc.shuffledSubarray([0, 1, 2], { minLength: 3, maxLength: 3 });
    fc.assert(
      fc.property(perms, perms, perms, (p, q, r) => {
        const shape = [2, 3, 4];
        const { g, x } = withInputs({ x: shape });
        const y = g.transpose(g.transpose(g.transpose(x, p), q), r);
        let expected = { elements: Array.from({ length: 24 }, (_, i) => i), shape };
        for (const perm of [p, q, r]) expected = transposed(expected.elements, expected.shape, perm);
        const node = g.producerOf(y);
        expect(node?.inputs[0] ?? y).toBe(x); // never a chain
        const perm = node ? (node.attrs as { perm: number[] }).perm : [0, 1, 2];
        expect(
          transposed(
            Array.from({ length: 24 }, (_, i) => i),
            shape,
            perm,
          ),
        ).toEqual(expected);
        expect(y.shape).toEqual(expected.shape);
      }),
    );
    const { g, x } = withInputs({ x: [2, 3, 4] });
    expect(g.swapLast(g.swapLast(x))).toBe(x);
  });

  test.each<[Shape, Shape, readonly number[]]>([
    [
      ['batch', 12],
      ['batch', 3, 4],
      [0, 3, 4],
    ],
    [
      ['batch', 'tokens', 8],
      ['batch*tokens', 8],
      [-1, 8],
    ],
    [
      ['17*batch', 8],
      ['batch', 17, 8],
      [-1, 17, 8],
    ],
    [
      ['batch', 'tokens'],
      ['batch', 1, 1, 'tokens'],
      [0, 1, 1, -1],
    ],
    [
      [6, 'batch'],
      ['batch', 6],
      [-1, 6],
    ],
    [[2, 3], [6], [6]],
  ])('reshape [%s] to [%s] by the constants [%s]', (from, to, shape) => {
    const { g, x } = withInputs({ x: from });
    const y = g.reshape(x, to);
    expect(y.shape).toEqual(to);
    expect(g.producerOf(y)!.attrs).toEqual({ shape });
    verify(g.finish({ y }));
  });

  test('reshape to two new symbolic axes takes the input that describes them', () => {
    const { g, x } = withInputs({ x: ['batch*tokens', 8] });
    expect(g.reshape(x, x.shape)).toBe(x);
    expect(() => g.reshape(x, ['batch', 'tokens', 8])).toThrow(
      'no shape input describes [batch,tokens,8]\n  where: Reshape(x float32[batch*tokens,8])',
    );
    const fed = g.shapeInput('shape', ['batch', 'tokens', 8]);
    const y = g.reshape(x, ['batch', 'tokens', 8]);
    expect(g.producerOf(y)!.inputs).toEqual([x, fed]);
    expect([fed.dtype, fed.shape]).toEqual(['int64', [3]]);
    verify(g.finish({ y }));
  });

  test('a graph that lost constants can be continued', () => {
    const { g, x } = withInputs({ x: [] });
    g.mul(x, 5); // unused: its constant_0 goes
    const loss = g.mul(g.mul(x, 7), 9);
    const pruned = prune(g.finish({ loss }));
    const more = new GraphBuilder(pruned);
    const y = more.mul(loss, 11);
    expect(() => verify(more.finish({ y }))).not.toThrow();
    expect(() => verify(differentiate(pruned, { loss, wrt: [x] }))).not.toThrow();
  });

  test('a scope that throws is left', () => {
    const { g, x } = withInputs({ x: [2] });
    expect(() => g.within('broken', () => g.transpose(x, [1, 0]))).toThrow(ShapeError);
    expect(g.within('fine', () => g.add(x, 1)).name).toBe('fine/Add_0');
  });

  test('a parameter of another graph is refused', () => {
    const p = new GraphBuilder().parameter('w', [2]);
    expect(() => new GraphBuilder().add(p, p)).toThrow('internal: parameter w belongs to another graph');
  });
});

function small(): Graph {
  const g = new GraphBuilder();
  const x = g.input('x', 'float32', ['batch', 3]);
  const w = g.parameter('w', [4, 3]);
  g.parameter('unused', [7]);
  g.input('unused_input', 'int32', []);
  const [first, second] = g.apply('Split', [g.linear(x, w)], { axis: 1, split: [1, 3] });
  g.add(first!, 3);
  return g.finish({ y: g.op('Exp', [second!], {}) });
}

describe('verify and prune', () => {
  const graph = verify(small());
  const withNode = (i: number, change: object): Graph => ({
    ...graph,
    nodes: graph.nodes.map((n, j) => (i === j ? { ...n, ...change } : n)),
  });
  const outputOf = (i: number): Value => graph.nodes[i]!.outputs[0]!;

  test.each<[string, Graph, string]>([
    [
      'a broken shape',
      withNode(0, { outputs: [{ ...outputOf(0), shape: ['batch', 5] }] }),
      'should give float32[batch,4]',
    ],
    [
      'a broken dtype',
      withNode(0, { outputs: [{ ...outputOf(0), dtype: 'int32' }] }),
      'should give float32[batch,4]',
    ],
    ['an early read', { ...graph, nodes: [...graph.nodes].reverse() }, 'too early'],
    ['an input of another graph', { ...graph, inputs: [] }, 'reads x too early'],
    [
      'a name used twice',
      withNode(2, { outputs: [{ ...outputOf(2), name: 'w' }] }),
      'the name w is used twice',
    ],
    [
      'two inputs of one name',
      { ...graph, inputs: [...graph.inputs, { ...graph.inputs[0]! }] },
      'share a name',
    ],
    [
      'an output that is not made',
      { ...graph, outputs: { y: { ...outputOf(0) } } },
      'output y is never made',
    ],
    [
      'too many outputs',
      withNode(0, { outputs: [outputOf(0), { ...outputOf(0), name: 'z' }] }),
      'should give undefined',
    ],
  ])('%s is caught', (_name, broken, message) => {
    expect(() => verify(broken)).toThrow(message);
  });

  test('prune drops what no output needs and keeps all outputs of a node', () => {
    const kept = verify(prune(graph));
    expect(kept.inputs.map((v) => v.name)).toEqual(['x']);
    expect(kept.parameters.map((v) => v.name)).toEqual(['w']);
    expect(kept.constants).toEqual([]);
    expect(kept.nodes.map((n) => n.op)).toEqual(['Gemm', 'Split', 'Exp']);
    expect(prune(kept)).toEqual(kept);
  });

  test('printGraph: one line each', () => {
    expect(printGraph(prune(graph))).toBe(
      [
        'input x float32[batch,3]',
        'frozen w float32[4,3]',
        'Gemm_0 float32[batch,4] = Gemm(x, w) {"transA":0,"transB":1}',
        'Split_1 float32[batch,1], Split_1.1 float32[batch,3] = Split(Gemm_0) {"axis":1,"split":[1,3]}',
        'Exp_3 float32[batch,3] = Exp(Split_1.1)',
        'output y = Exp_3',
      ].join('\n'),
    );
  });
});
