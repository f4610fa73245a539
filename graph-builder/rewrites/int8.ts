/** @file Products of activations with frozen weights in 8-bit numbers, forward and backward. */
import type { GraphBuilder } from '../ir/builder.js';
import { type Graph, isParameter, type Node, type Parameter, type Value } from '../ir/types.js';
import { BLOCK, blockNames, type Int8Form, int8Tensors, type Matrix, ZERO_POINT } from './int8-weights.js';
import { rewriteNodes } from './rewrite-nodes.js';

export interface Int8Options {
  readonly form: Int8Form;
  /** whether the products with this weight are to be replaced */
  readonly includes: (weight: string) => boolean;
}

/** Largest code of an activation: its row's largest magnitude. */
const LIMIT = 127;
/** Added to scales, so that a row of zeros does not divide by zero. */
const TINY = 1e-30;

/** A product with a frozen weight W [out, in]. */
export interface Int8Site extends Matrix {
  /** x·Wᵀ, or dy·W of the backward pass */
  readonly direction: 'forward' | 'backward';
  readonly product: Node;
}

const sizesOf = ({ shape }: Parameter): readonly [number, number] => {
  const [out, ...window] = shape as [number, ...number[]];
  return [out, window.reduce((p, n) => p * n, 1)];
};

/**
 * The products that may be replaced. Left out are tables that rows are looked up in: the vocabulary head is tied to
 * one, and with it in 8 bits training diverges (its gradient's rows are one spike and 30,000 tiny numbers).
 */
export function int8Sites({ nodes }: Pick<Graph, 'nodes'>): Map<Node, Int8Site> {
  const producers = new Map(nodes.flatMap((n) => n.outputs.map((v) => [v, n] as const)));
  const tables = new Set(nodes.filter((n) => n.op === 'Gather').map((n) => n.inputs[0]));
  /** also the kernel of a convolution over patches, read as [out, in] */
  const weightOf = (v: Value | undefined): Parameter | undefined => {
    if (isParameter(v)) return v;
    const source = v && producers.get(v);
    const reshaped = source?.op === 'Reshape' ? source.inputs[0] : undefined;
    return isParameter(reshaped) && reshaped.shape[0] === v!.shape[0] ? reshaped : undefined;
  };
  const sites = new Map<Node, Int8Site>();
  for (const product of nodes) {
    if (product.op !== 'Gemm') continue;
    const { transA, transB } = product.attrs as Node<'Gemm'>['attrs'];
    const weight = weightOf(product.inputs[1]);
    if (!weight || weight.trainable || weight.dtype !== 'float32' || tables.has(weight) || transA !== 0)
      continue;
    const [out, inner] = sizesOf(weight);
    const direction = transB === 1 ? 'forward' : 'backward';
    sites.set(product, { name: weight.name, out, in: inner, direction, product });
  }
  return sites;
}

/** Rows of `x` as codes around 128 with a scale each. */
function codesOfRows(g: GraphBuilder, x: Value): { codes: Value; scale: Value } {
  const most = g.op('ReduceMax', [g.op('Abs', [x], {})], { axes: [1], keepdims: 0 });
  const scale = g.add(g.mul(most, 1 / LIMIT), TINY);
  // one zero point a row, of a length that is known only at run time
  const zeroPoints = g.cast(g.add(g.sub(scale, scale), ZERO_POINT), 'uint8');
  const codes = g.op('QuantizeLinear', [x, scale, zeroPoints], { axis: 0 });
  return { codes, scale: g.reshape(scale, [x.shape[0]!, 1]) };
}

/** a·b with the codes of the rows of a; the weight's scales multiply the result's columns, or a's columns before. */
function dynamicProduct(g: GraphBuilder, a: Value, { direction, ...matrix }: Int8Site): Value {
  const [columns, rows, weightScale] = int8Tensors(matrix, 'dynamic').map((p) => g.stored(p)) as [
    Parameter,
    Parameter,
    Parameter,
  ];
  const one = g.scalar(1);
  const forward = direction === 'forward';
  const { codes, scale } = codesOfRows(g, forward ? a : g.mul(a, weightScale));
  const [b, bScale] = forward ? [columns, weightScale] : [rows, one];
  const zeroPoint = g.scalar(ZERO_POINT, 'uint8');
  return g.mul(g.op('MatMulIntegerToFloat', [codes, b, one, bScale, zeroPoint], {}), scale);
}

/** a·b with the weight's blocks brought back to float32 inside the product; undefined where blocks do not fit. */
function blockProduct(g: GraphBuilder, a: Value, { direction, ...matrix }: Int8Site): Value | undefined {
  const names = blockNames(matrix.name)[direction];
  const found = new Map(int8Tensors(matrix, 'weight-only').map((p) => [p.name, p] as const));
  const [codes, scales] = [found.get(names.codes), found.get(names.scales)];
  if (!codes || !scales) return undefined;
  const [N, K] = direction === 'forward' ? [matrix.out, matrix.in] : [matrix.in, matrix.out];
  const attrs = { K, N, bits: 8, block_size: BLOCK, accuracy_level: 0 } as const;
  return g.op('MatMulNBits', [a, g.stored(codes), g.stored(scales)], attrs);
}

/**
 * Replaces products with frozen weights in a finished graph, one that trains or one that answers.
 *
 *   dynamic      y = x·Wᵀ   →  (u8(x)·s8(W)ᵀ) · scale_x · scale_W     u8: a scale a row, s8: a scale an output channel
 *                dx = dy·W  →  (u8(dy·scale_W)·s8(W)) · scale_dy      the same codes of W
 *   weight-only  y = x·Wᵀ   →  MatMulNBits(x, W in blocks of 32)      and dx with blocks of Wᵀ
 *
 * Biases are added in float32; adapters, trained weights, normalisation, attention and the vocabulary head stay as
 * they are. A product's relative error is about 3% in `dynamic` and 0.5% in `weight-only` on data with outlier
 * channels (test/graph-builder/int8.test.ts). A row with an infinite number gives no finite result; of a NaN that is not certain.
 * Weights' tensors: {@link int8Tensors}, bytes: `quantise`.
 * Source: LLM.int8(), Dettmers et al. 2022 (arXiv:2208.07339), section 2, vector-wise form, without outlier splitting.
 */
export function int8Products(graph: Graph, { form, includes }: Int8Options): Graph {
  const sites = int8Sites(graph);
  return rewriteNodes(graph, (node, { g, original }) => {
    const site = sites.get(original);
    if (!site || !includes(site.name)) return undefined;
    const [a, , bias] = node.inputs as readonly [Value, Value, Value?];
    const product = g.within('int8', () =>
      form === 'dynamic' ? dynamicProduct(g, a, site) : blockProduct(g, a, site),
    );
    if (!product) return undefined;
    return [bias ? g.add(product, bias) : product];
  });
}

/**
 * A forward graph that also says what 8 bits do to each product: outputs `error/<weight>`, float32 scalars
 * ‖y₈ − y‖ / ‖y‖ over the batch, and no others. Products read float32 activations, so that errors do not add up.
 */
export function int8Errors(graph: Graph, { form, includes }: Int8Options): Graph {
  const sites = int8Sites(graph);
  const outputs: Record<string, Value> = {};
  const probed = rewriteNodes(graph, (node, { g, original }) => {
    const site = sites.get(original);
    if (site?.direction !== 'forward' || !includes(site.name)) return undefined;
    const [a, weight] = node.inputs as readonly [Value, Value];
    const own = g.copy(node, node.inputs);
    const product = form === 'dynamic' ? dynamicProduct(g, a, site) : blockProduct(g, a, site);
    if (!product) return own;
    const exact = g.linear(a, weight);
    const squares = (v: Value) => g.reduceSum(g.mul(v, v), [0, 1]);
    const share = g.div(squares(g.sub(product, exact)), g.add(squares(exact), TINY));
    outputs[`error/${site.name}`] = g.op('Sqrt', [share], {});
    return own;
  });
  return { ...probed, outputs };
}
