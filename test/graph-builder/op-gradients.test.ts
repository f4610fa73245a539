/** @file Every gradient rule: against PyTorch in float64, and against central differences of its own operator. */
import { expect, test } from 'vitest';
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { supportedOperators } from '../../graph-builder/gradients/supported.js';
import { GraphBuilder } from '../../graph-builder/ir/builder.js';
import { onnxTypes } from '../../graph-builder/ir/dtypes.js';
import { prune, verify } from '../../graph-builder/ir/graph.js';
import { isOpName } from '../../graph-builder/ops/registry.js';
import { type Feeds, float32 } from '../../runtime/core/session.js';
import { norm } from '../support/golden.js';
import {
  applyOp,
  dot,
  feedsOf,
  type GoldenCase,
  goldenCases,
  type OpCase,
  type OpInput,
  seededNormal,
  sizeOf,
  valuesOf,
  vjpForward,
  vjpGraph,
  withSession,
} from '../support/one-op.js';

const known = goldenCases.filter(({ op }) => isOpName(op));
const differentiable = known.filter(({ grads }) => grads.some((gradient) => gradient));

test('only the golden cases of operators that the registry lacks are skipped', () => {
  const skipped = goldenCases.filter((c) => !known.includes(c));
  expect([...new Set(skipped.map(({ op }) => op))]).toEqual(['ScatterND']);
  expect(known.length).toBe(149);
});

/**
 * ‖ours − float64‖ ≤ TOLERANCE · ‖float64‖. A rule is a chain of at most ten float32 operations, each within
 * 2⁻²⁴ = 6e-8 of the exact result times a condition number below 4 on this data, and the golden numbers have 7
 * digits (5e-8): 2.5e-6. Measured: 2.7e-7 at most. Wrong rules are off by 1e-2 and more.
 */
const TOLERANCE = 2.5e-6;

function expectClose(
  ours: ArrayLike<number>,
  golden: readonly number[],
  what: string,
  { op, inputs }: GoldenCase,
) {
  expect(ours.length, what).toBe(golden.length);
  const difference = norm(golden.map((v, i) => v - ours[i]!));
  // exp(x − y) multiplies the rounding of y by |y|: 80 in one case
  const rounding = op === 'ReduceLogSumExp' ? 2 ** -24 * Math.max(...inputs[0]!.data.map(Math.abs)) : 0;
  expect(difference, what).toBeLessThanOrEqual((TOLERANCE + rounding) * norm(golden));
}

const dysOf = ({ outputs, dys, yShapes }: GoldenCase): Feeds =>
  Object.fromEntries(outputs.map((at, i) => [`dy${at}`, float32(Float32Array.from(dys[i]!), yShapes[i]!)]));

test.each(differentiable)('$name: value and gradients equal PyTorch in float64', async (golden) => {
  const results = await withSession(vjpGraph(golden), (s) => s.run({ ...feedsOf(golden), ...dysOf(golden) }));
  golden.outputs.forEach((at, i) => {
    expect(results[`y${at}`]!.dims).toEqual(golden.yShapes[i]);
    expectClose(valuesOf(results[`y${at}`]), golden.ys[i]!, 'y', golden);
  });
  golden.inputs.forEach(({ name, shape }, i) => {
    const gradient = golden.grads[i];
    const ours = results[`${name}.grad`];
    expect(ours?.dims, name).toEqual(gradient ? shape : undefined);
    if (gradient) expectClose(valuesOf(ours), gradient, `gradient of ${name}`, golden);
  });
});

const comparisons: readonly GoldenCase[] = ['Equal', 'Less', 'LessOrEqual', 'Greater', 'GreaterOrEqual'].map(
  (op) => ({ ...known.find((c) => c.op === op)!, name: op }),
);

test.each(comparisons)('$name has a value and no gradient', async (comparison) => {
  const { graph, wrt } = vjpForward(comparison);
  expect(() => differentiate(graph, { loss: graph.outputs.loss!, wrt })).toThrow(
    'the loss does not depend on a',
  );
  const { y0, 'a.grad': gradient } = await withSession(
    // a second path: the comparison must add nothing to the gradient 1 of a sum
    vjpGraph({
      ...comparison,
      inputs: [comparison.inputs[0]!, { ...comparison.inputs[1]!, name: 'b', dtype: 'float32' }],
      build: (g, a, b) => {
        const compared = comparison.build(g, a!, b!)[0]!;
        return [g.add(g.cast(compared, 'float32'), g.add(a!, b!))];
      },
    }),
    (s) => s.run({ ...feedsOf(comparison), dy0: float32(new Float32Array(6).fill(1), [2, 3]) }),
  );
  expect(Array.from(valuesOf(gradient))).toEqual([1, 1, 1, 1, 1, 1]);
  const [a, b] = [comparison.inputs[0]!.data, comparison.inputs[1]!.data];
  expect(Array.from(valuesOf(y0))).toEqual(comparison.ys[0]!.map((v, i) => v + a[i]! + b[i % 3]!));
});

test.each(known.filter(({ op }) => ['And', 'Or', 'Not'].includes(op)))(
  '$name equals the golden value',
  async (golden) => {
    const { y0 } = await withSession(vjpGraph(golden), (s) =>
      s.run({ ...feedsOf(golden), ...dysOf(golden) }),
    );
    expect(Array.from(valuesOf(y0))).toEqual(golden.ys[0]);
  },
);

test('Cast from an integer equals the golden value and asks for no gradient', async () => {
  const golden = known.find(({ op }) => op === 'Cast')!;
  const graph = vjpGraph(golden);
  expect(Object.keys(graph.outputs)).toEqual(['y0', 'loss']);
  const { y0 } = await withSession(graph, (s) => s.run({ ...feedsOf(golden), ...dysOf(golden) }));
  expect(Array.from(valuesOf(y0))).toEqual(golden.ys[0]);
});

// Operators, attributes and compositions that the golden file does not have. Data are multiples of 1/8 without ties.
const floatInput = (name: string, shape: readonly number[], seed: number): OpInput => ({
  name,
  shape,
  dtype: 'float32',
  data: Array.from(seededNormal(seed)(sizeOf(shape)), (v) => Math.round(v * 64) / 64),
});
const spread: OpInput = {
  name: 'x',
  shape: [2, 4],
  dtype: 'float32',
  data: [1, -1, 0.5, 2, 0.25, 3, -2, 1.5],
};
const indices = (
  data: readonly number[],
  shape: readonly number[],
  dtype: 'int32' | 'int64' = 'int32',
): OpInput => ({
  name: 'indices',
  shape,
  dtype,
  data,
});

const more: readonly OpCase[] = [
  {
    name: 'Softmax on axis 0',
    inputs: [floatInput('x', [3, 2], 1)],
    outputs: [0],
    build: applyOp('Softmax', { axis: 0 }),
  },
  {
    name: 'Softmax on axis 1 of 3',
    inputs: [floatInput('x', [2, 3, 2], 2)],
    outputs: [0],
    build: applyOp('Softmax', { axis: 1 }),
  },
  {
    name: 'Softmax in attention',
    inputs: [floatInput('q', [2, 3, 4], 3), floatInput('k', [2, 5, 4], 4), floatInput('v', [2, 5, 4], 5)],
    outputs: [0],
    build: (g, q, k, v) => [g.matmul(g.op('Softmax', [g.matmul(q!, g.swapLast(k!))], { axis: -1 }), v!)],
  },
  {
    name: 'Softmax in attention, read twice',
    inputs: [floatInput('x', [2, 3, 5], 6), floatInput('v', [5, 4], 7)],
    outputs: [0, 1],
    build: (g, x, v) => {
      const p = g.op('Softmax', [x!], { axis: -1 });
      return [g.matmul(p, v!), p];
    },
  },
  { name: 'TopK', inputs: [spread], outputs: [0], build: applyOp('TopK', { k: [2], axis: -1 }) },
  {
    name: 'ScatterElements, repeated indices',
    inputs: [
      floatInput('x', [2, 3], 8),
      indices([0, 2, 2, 1, 1, 1], [2, 3]),
      floatInput('updates', [2, 3], 9),
    ],
    outputs: [0],
    build: applyOp('ScatterElements', { axis: 1, reduction: 'add' }),
  },
  {
    name: 'Gather with two uses of one table',
    inputs: [floatInput('x', [4, 3], 10), indices([3, 0, 3], [3])],
    outputs: [0, 1],
    build: (g, x, at) => [g.gather(x!, at!), g.matmul(x!, g.swapLast(x!))],
  },
  {
    name: 'Gather from a vector, repeated indices',
    inputs: [floatInput('x', [4], 15), indices([3, 0, 3, 3], [2, 2])],
    outputs: [0],
    build: (g, x, at) => [g.gather(x!, at!)],
  },
  {
    name: 'GatherElements with two uses',
    inputs: [floatInput('x', [2, 3], 11), indices([2, 2], [2, 1], 'int64')],
    outputs: [0, 1],
    build: (g, x, at) => [g.op('GatherElements', [x!, at!], { axis: 1 }), g.mul(x!, x!)],
  },
  {
    name: 'Cast from float to float',
    inputs: [floatInput('x', [2, 3], 12)],
    outputs: [0],
    build: applyOp('Cast', { to: onnxTypes.float32 }),
  },
  {
    name: 'one value in both places of Mul, Div and MatMul',
    inputs: [{ ...spread, shape: [2, 2, 2] }],
    outputs: [0, 1, 2],
    build: (g, x) => [g.mul(x!, x!), g.div(x!, g.mul(x!, 2)), g.matmul(x!, x!)],
  },
  {
    name: 'Expand with a broadcast of its own',
    inputs: [floatInput('x', [2, 1], 13), floatInput('y', [3], 14)],
    outputs: [0],
    build: (g, x, y) => [g.op('Expand', [g.mul(x!, y!)], { shape: [4, 2, 3] })],
  },
];

test('each operator has a central-difference case or no gradient', () => {
  const tried = new Set<string>(differentiable.map(({ op }) => op));
  const missing = supportedOperators().filter(({ op }) => !tried.has(op));
  expect(missing.filter((o) => o.differentiable).map(({ op }) => op)).toEqual([
    'Cast', // tried below (`more`), as are the others
    'ScatterElements',
    'TopK',
  ]);
  expect(missing.filter((o) => !o.differentiable).map(({ op }) => op)).toEqual([
    'Abs',
    'And',
    'ConvTranspose',
    'Equal',
    'Greater',
    'GreaterOrEqual',
    'Identity',
    'Less',
    'LessOrEqual',
    'MatMulIntegerToFloat',
    'MatMulNBits',
    'Not',
    'Or',
    'QuantizeLinear',
  ]);
});

/** Spread 1e-3: EPS would be ten times the data. */
const tooFine = (name: string) => name.includes('spread 1e-3');

/** Five-point differences of step EPS: the truncation EPS⁴/30·y⁽⁵⁾ is below 1e-4 for 1/x at x = 0.4. */
const EPS = 2 ** -6;
/** Right rules err by ≤ 8e-5 over 12 seeds, apart from the rounding of y, which is added below. */
const DIFFERENCE_TOLERANCE = 3e-4;

const moved = (x: ArrayLike<number>, h: number, v: ArrayLike<number>): Float32Array<ArrayBuffer> =>
  Float32Array.from(x, (value, i) => value + h * v[i]!);

test.each<OpCase>([...differentiable.filter(({ name }) => !tooFine(name)), ...more])(
  '$name: gradients equal central differences in a random direction',
  async (opCase) => {
    const random = seededNormal(7);
    const graph = vjpGraph(opCase);
    const names = opCase.outputs.map((i) => `y${i}`);
    const dys = names.map((name) => random(sizeOf(graph.outputs[name]!.shape as number[])));
    const dyFeeds = names.map((name, i) => [
      name.replace('y', 'dy'),
      float32(dys[i]!, graph.outputs[name]!.shape as number[]),
    ]);
    const feeds: Feeds = { ...feedsOf(opCase), ...Object.fromEntries(dyFeeds) };
    await withSession(graph, async (session) => {
      const results = await session.run(feeds);
      const magnitude = names.reduce(
        (s, name, i) => s + dot(valuesOf(results[name]), dys[i]!.map(Math.sign)) ** 2,
        1,
      );
      for (const { name, shape, dtype, data, constant } of opCase.inputs) {
        if (dtype !== 'float32' || constant) continue;
        const direction = random(data.length);
        const unit = Math.max(...direction.map(Math.abs));
        const v = direction.map((d) => d / unit); // no element moves by more than EPS
        const at = async (h: number) => {
          const ys = await session.run({ ...feeds, [name]: float32(moved(data, h, v), shape) }, names);
          return names.reduce((s, y, i) => s + dot(valuesOf(ys[y]), dys[i]!), 0);
        };
        const [near, far] = [(await at(EPS)) - (await at(-EPS)), (await at(2 * EPS)) - (await at(-2 * EPS))];
        const numeric = (8 * near - far) / (12 * EPS);
        const exact = dot(valuesOf(results[`${name}.grad`]), v); // ⟨dy, J·v⟩ must equal ⟨Jᵀ·dy, v⟩
        const rounding = (2 ** -23 * Math.sqrt(magnitude)) / EPS;
        expect(Math.abs(exact - numeric), `${name}: exact ${exact}, numeric ${numeric}`).toBeLessThan(
          DIFFERENCE_TOLERANCE * Math.max(1, Math.abs(numeric)) + rounding,
        );
      }
    });
  },
);

test('attention sums rows of dO ⊙ O, not of the scores', () => {
  const graph = prune(vjpGraph(more.find(({ name }) => name === 'Softmax in attention')!));
  const rowSum = graph.nodes.find(
    ({ op, attrs }) => op === 'ReduceSum' && (attrs as { keepdims: number }).keepdims === 1,
  )!;
  expect(rowSum.inputs[0]!.shape).toEqual([2, 3, 4]); // [.., headDim], not [.., keys]
});

test('a reshape by a fed shape goes back by constants', async () => {
  const g = new GraphBuilder();
  const x = g.input('x', 'float32', ['batch*tokens', 2]);
  g.shapeInput('shape', ['batch', 'tokens', 2]);
  const y = g.reshape(x, ['batch', 'tokens', 2]);
  const weights = g.input('dy', 'float32', ['batch', 'tokens', 2]);
  const loss = g.reduceSum(g.mul(y, weights), [0, 1, 2]);
  const graph = verify(differentiate(g.finish({ loss }), { loss, wrt: [x] }));
  const dy = seededNormal(1)(12);
  const results = await withSession(graph, (s) =>
    s.run({
      x: float32(seededNormal(2)(12), [6, 2]),
      dy: float32(dy, [2, 3, 2]),
      shape: { data: BigInt64Array.of(2n, 3n, 2n), dims: [3] },
      loss_scale: float32(Float32Array.of(4), []),
    }),
  );
  expect(results['x.grad']!.dims).toEqual([6, 2]);
  expect(Array.from(valuesOf(results['x.grad']))).toEqual(Array.from(dy, (v) => 4 * v));
});

/** The same case with its first axis of unknown length. */
async function withOpenBatch(golden: GoldenCase): Promise<void> {
  const g = new GraphBuilder();
  const values = golden.inputs.map(({ name, dtype, shape }) => {
    const isData = name === 'x' && shape[0] === golden.yShapes[0]![0];
    return g.input(name, dtype, isData ? ['batch', ...shape.slice(1)] : shape);
  });
  const y = golden.build(g, ...values)[0]!;
  const loss = g.reduceSum(g.mul(y, g.input('dy0', 'float32', y.shape)), [...y.shape.keys()]);
  const wrt = values.filter((v, i) => v.dtype === 'float32' && !golden.inputs[i]!.constant);
  const graph = verify(differentiate(verify(g.finish({ y0: y, loss })), { loss, wrt }));
  expect(y.shape[0]).toBe('batch');
  const results = await withSession(graph, (s) => s.run({ ...feedsOf(golden), ...dysOf(golden) }));
  golden.inputs.forEach(({ name }, i) => {
    if (golden.grads[i]) expectClose(valuesOf(results[`${name}.grad`]), golden.grads[i], name, golden);
  });
}

const batched = ['Conv', 'MaxPool', 'BatchNormalization', 'ReduceMean', 'Gather', 'Slice', 'Softmax'];
test.each(
  differentiable.filter(
    ({ name, op, inputs, attrs, yShapes }) =>
      batched.includes(op) &&
      inputs[0]!.shape[0] === yShapes[0]![0] &&
      !(op === 'Gather' && attrs.axis === 0) &&
      !name.includes('two axes'),
  ),
)('$name: the same gradients with a batch of unknown length', withOpenBatch);

test('a mean over an axis of unknown length', async () => {
  const g = new GraphBuilder();
  const x = g.input('x', 'float32', ['batch', 2]);
  const loss = g.reduceSum(g.mul(g.reduceMean(x, [0]), g.constant([3, 6], [2])), [0]);
  const graph = verify(differentiate(g.finish({ loss }), { loss, wrt: [x] }));
  const feeds = { x: float32(seededNormal(1)(6), [3, 2]), loss_scale: float32(Float32Array.of(1), []) };
  const results = await withSession(graph, (s) => s.run(feeds));
  expect(Array.from(valuesOf(results['x.grad']))).toEqual([1, 2, 1, 2, 1, 2]);
});

test('a product with a weight is one Gemm each way, whatever is in front of the rows', () => {
  const g = new GraphBuilder();
  const [x, w] = [g.input('x', 'float32', ['batch', 7, 4]), g.parameter('w', [4, 3], 'zeros', true)];
  const loss = g.reduceSum(g.matmul(g.mul(x, 2), w), [0, 1, 2]);
  const graph = prune(differentiate(g.finish({ loss }), { loss, wrt: [x, w] }));
  const backward = graph.nodes.filter((n) => n.outputs[0]!.name.startsWith('backward/')).map(({ op }) => op);
  expect(backward.filter((op) => op === 'Gemm').length).toBe(2);
  expect(backward).not.toContain('Transpose'); // of a frozen weight it would be a copy
  expect(backward).not.toContain('MatMul');
});
