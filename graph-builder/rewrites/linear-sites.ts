/** @file Finds the products with weights, where adapters go: in our graphs and in imported ones. */
import type { GraphBuilder } from '../ir/builder.js';
import { type Graph, isParameter, type Node, type Parameter, type Value } from '../ir/types.js';

/**
 * How a product reads its weight.
 *
 *   rows:    x [rows, in], W [out, in]             Gemm with transB, as PyTorch stores a linear layer
 *   columns: x [..., in], W [in, out]              MatMul or Gemm: exported linear layers, GPT-2's Conv1D
 *   conv:    x [n, in, h, w], W [out, in, kh, kw]  Conv
 */
export type SiteForm = 'rows' | 'columns' | 'conv';

/** `y = x·Wᵀ + b` or a convolution. */
export interface LinearSite {
  readonly form: SiteForm;
  readonly weight: Parameter;
  /** `weight` as the product reads it: a kernel over patches is read as [out, in] */
  readonly matrix: Value;
  /** Gemm, MatMul or Conv */
  readonly product: Node;
  /** the product, or the Add of its bias */
  readonly result: Node;
}

/** The parameter that `value` is, perhaps reshaped or transposed. */
function weightOf(value: Value | undefined, producers: ReadonlyMap<Value, Node>): Parameter | undefined {
  if (isParameter(value)) return value;
  const source = value && producers.get(value);
  const moved = source?.op === 'Reshape' || source?.op === 'Transpose' ? source.inputs[0] : undefined;
  return isParameter(moved) ? moved : undefined;
}

function formOf(node: Node, matrix: Value, weight: Parameter): SiteForm | undefined {
  if (node.op === 'Conv') return 'conv';
  if (node.op === 'MatMul') return matrix.shape.length === 2 ? 'columns' : undefined;
  const { transA, transB } = node.attrs as Node<'Gemm'>['attrs'];
  if (node.op !== 'Gemm' || transA !== 0) return undefined;
  if (transB === 1) return 'rows';
  return matrix === weight ? 'columns' : undefined;
}

/** All products of a graph with a parameter, by the node that completes them. */
export function linearSites(graph: Graph): Map<Node, LinearSite> {
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((v) => [v, node] as const)));
  const readers = new Map<Value, Node[]>();
  for (const node of graph.nodes)
    for (const v of node.inputs) if (v) readers.set(v, [...(readers.get(v) ?? []), node]);
  const sites = new Map<Node, LinearSite>();
  for (const product of graph.nodes) {
    if (product.op !== 'Gemm' && product.op !== 'MatMul' && product.op !== 'Conv') continue;
    const matrix = product.inputs[1]!;
    const weight = weightOf(matrix, producers);
    const form = weight && formOf(product, matrix, weight);
    if (!weight || !form) continue;
    const result = biasedBy(product, readers.get(product.outputs[0]!) ?? []) ?? product;
    sites.set(result, { form, weight, matrix, product, result });
  }
  return sites;
}

/** The Add of a bias vector that follows a MatMul, as exporters write linear layers. */
function biasedBy(product: Node, readers: readonly Node[]): Node | undefined {
  const [reader] = readers;
  if (product.op !== 'MatMul' || readers.length !== 1 || reader!.op !== 'Add') return undefined;
  return reader!.inputs.some((v) => isParameter(v) && v.shape.length === 1) ? reader : undefined;
}

/** Lengths of a site's axes: a kernel, also one over patches, has its window after `out`. */
export function siteSizes({ form, weight, matrix }: LinearSite): {
  readonly out: number;
  readonly window: readonly number[];
} {
  if (form === 'columns') {
    const [inFeatures, out] = matrix.shape as readonly [number, number];
    return { out, window: [inFeatures] };
  }
  const [out, ...window] = weight.shape as [number, ...number[]];
  return { out, window };
}

/** x·factorᵀ with a factor [n, in], for x [..., in]. */
export const project = (g: GraphBuilder, x: Value, factor: Value): Value =>
  x.shape.length === 2 ? g.linear(x, factor) : g.matmul(x, g.swapLast(factor));
