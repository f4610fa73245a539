/** @file Graphs of one operator with its gradients, and the golden cases of test/oracles/gradients.golden.json. */
import { readFileSync } from 'node:fs';
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { GraphBuilder } from '../../graph-builder/ir/builder.js';
import { onnxTypes } from '../../graph-builder/ir/dtypes.js';
import { verify } from '../../graph-builder/ir/graph.js';
import type { Attributes, DType, Graph, Value } from '../../graph-builder/ir/types.js';
import type { OpName } from '../../graph-builder/ops/registry.js';
import { type Feeds, float32, floats, int32, type Session, type Tensor } from '../../runtime/core/session.js';
import { openGraph, oracle } from './golden.js';

export interface OpInput {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly data: readonly number[];
  /** not differentiated, though it may be a float */
  readonly constant?: true;
}

/** One operator, or a small graph: `build` gets the inputs as values and returns the outputs. */
export interface OpCase {
  readonly name: string;
  readonly inputs: readonly OpInput[];
  /** indices of the outputs that the loss Σ y·dy sums over */
  readonly outputs: readonly number[];
  readonly build: (g: GraphBuilder, ...inputs: Value[]) => readonly Value[];
}

export interface GoldenCase extends OpCase {
  readonly op: string;
  readonly attrs: Attributes;
  readonly yShapes: readonly (readonly number[])[];
  readonly ys: readonly (readonly number[])[];
  readonly dys: readonly (readonly number[])[];
  /** one an input, null = it has none */
  readonly grads: readonly (readonly number[] | null)[];
}

interface RawCase {
  name: string;
  op: string;
  attrs: Record<string, number | string | number[]>;
  inputs: OpInput[];
  outputs: number | number[];
  yShape?: number[];
  y?: number[];
  dy?: number[];
  yShapes?: number[][];
  ys?: number[][];
  dys?: number[][];
  grads: (number[] | null)[];
}

export const applyOp =
  (op: string, attrs: Attributes) =>
  (g: GraphBuilder, ...inputs: Value[]): readonly Value[] =>
    g.apply(op as OpName, inputs as never, attrs as never);

export const goldenCases: readonly GoldenCase[] = (
  JSON.parse(readFileSync(oracle('gradients.golden.json'), 'utf8')) as RawCase[]
).map(({ name, op, attrs, inputs, outputs, grads, ...rest }) => {
  const several = typeof outputs !== 'number';
  // the golden file says 'float32' where ONNX and the IR have a number
  const ours = op === 'Cast' ? { ...attrs, to: onnxTypes[attrs.to as DType] } : attrs;
  return {
    name,
    op,
    attrs: ours,
    inputs,
    grads,
    outputs: several ? outputs : [outputs],
    yShapes: several ? rest.yShapes! : [rest.yShape!],
    ys: several ? rest.ys! : [rest.y!],
    dys: several ? rest.dys! : [rest.dy!],
    build: applyOp(op, ours),
  };
});

/** Forward graph with outputs `y0`, `y1` … and `loss` = Σ y·dy; float inputs are graph inputs, booleans constants. */
export function vjpForward({ inputs, outputs, build }: OpCase): { graph: Graph; wrt: readonly Value[] } {
  const g = new GraphBuilder();
  const values = inputs.map(({ name, dtype, shape, data }) =>
    dtype === 'bool' ? g.constant(data, shape, dtype) : g.input(name, dtype, shape),
  );
  const ys = build(g, ...values);
  const terms = outputs.map((i) => {
    const y = ys[i]!;
    const product = g.mul(g.cast(y, 'float32'), g.input(`dy${i}`, 'float32', y.shape));
    return g.reduceSum(product, [...y.shape.keys()]);
  });
  const loss = terms.reduce((a, b) => g.add(a, b));
  const results = Object.fromEntries(outputs.map((i) => [`y${i}`, ys[i]!]));
  const wrt = values.filter((v, i) => v.dtype === 'float32' && !inputs[i]!.constant);
  return { graph: verify(g.finish({ ...results, loss })), wrt };
}

/** {@link vjpForward} with an output `<input>.grad` for each float input. */
export function vjpGraph(opCase: OpCase): Graph {
  const { graph, wrt } = vjpForward(opCase);
  const loss = graph.outputs.loss!;
  return wrt.length === 0 ? graph : verify(differentiate(graph, { loss, wrt }));
}

function tensor({ dtype, shape, data }: Pick<OpInput, 'dtype' | 'shape' | 'data'>): Tensor {
  if (dtype === 'int32') return int32(data, shape);
  if (dtype === 'int64') return { data: BigInt64Array.from(data, BigInt), dims: shape };
  return float32(Float32Array.from(data), shape);
}

export const feedsOf = ({ inputs }: OpCase): Feeds => ({
  ...Object.fromEntries(inputs.filter((i) => i.dtype !== 'bool').map((i) => [i.name, tensor(i)])),
  loss_scale: float32(Float32Array.of(1), []),
});

/** Runs `use` with a session of a graph without frozen weights. */
export async function withSession<T>(graph: Graph, use: (session: Session) => Promise<T>): Promise<T> {
  const session = await openGraph(graph);
  try {
    return await use(session);
  } finally {
    await session.release();
  }
}

/** Standard normal numbers, the same on every run. */
export function seededNormal(seed: number): (length: number) => Float32Array<ArrayBuffer> {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0; // mulberry32
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
  return (length) =>
    Float32Array.from(
      { length },
      () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
    );
}

export const sizeOf = (shape: readonly number[]): number => shape.reduce((p, n) => p * n, 1);

/** Σ a·b in float64. */
export const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((s, v, i) => s + v * b[i]!, 0);

/** Values of an output, booleans as 0 and 1. */
export const valuesOf = (t: Tensor | undefined): ArrayLike<number> =>
  t?.data instanceof Uint8Array ? t.data : floats(t);
