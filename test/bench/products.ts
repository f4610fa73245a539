/** @file Counts the matrix products of a graph: their sizes, their floating-point operations. */
import type { Dim, Graph, Node, Shape, Value } from '../../graph-builder/ir/types.js';
import type { Feeds } from '../../runtime/core/session.js';

/** y [rows, n] = x [rows, k] · w [k, n]; the leading axes of a batched product count as rows. */
export interface ProductSize {
  readonly rows: number;
  readonly k: number;
  readonly n: number;
}

export const flopsOf = ({ rows, k, n }: ProductSize): number => 2 * rows * k * n;

/** Lengths of the named axes, read off the feeds. */
export function axisLengths(graph: Graph, feeds: Feeds): ReadonlyMap<string, number> {
  const lengths = new Map<string, number>();
  for (const { name, shape } of graph.inputs) {
    shape.forEach((dim, i) => {
      const length = feeds[name]?.dims[i];
      if (typeof dim === 'string' && length !== undefined) lengths.set(dim, length);
    });
  }
  return lengths;
}

/** '17*batch' → 17 times the length of 'batch'. */
function lengthOf(dim: Dim, lengths: ReadonlyMap<string, number>): number {
  if (typeof dim === 'number') return dim;
  return dim.split('*').reduce((product, part) => {
    const length = lengths.get(part) ?? Number(part);
    if (Number.isNaN(length)) throw new Error(`internal: no length for the axis ${part} of ${dim}`);
    return product * length;
  }, 1);
}

function sizeOf(node: Node, lengths: ReadonlyMap<string, number>): ProductSize | undefined {
  if (node.op !== 'MatMul' && node.op !== 'Gemm') return undefined;
  const [a] = node.inputs as readonly Value[];
  const of = (shape: Shape) => shape.reduce<number>((p, d) => p * lengthOf(d, lengths), 1);
  const y = node.outputs[0]!.shape;
  const transA = node.op === 'Gemm' && (node as Node<'Gemm'>).attrs.transA === 1;
  return { rows: of(y.slice(0, -1)), k: of([a!.shape.at(transA ? 0 : -1)!]), n: of([y.at(-1)!]) };
}

/** Sizes of all products of `graph` and how often each occurs, the costliest first. */
export function countProducts(graph: Graph, feeds: Feeds): readonly (ProductSize & { count: number })[] {
  const lengths = axisLengths(graph, feeds);
  const counts = new Map<string, ProductSize & { count: number }>();
  for (const node of graph.nodes) {
    const size = sizeOf(node, lengths);
    if (!size) continue;
    const key = Object.values(size).join();
    counts.set(key, { ...size, count: (counts.get(key)?.count ?? 0) + 1 });
  }
  return [...counts.values()].sort((a, b) => b.count * flopsOf(b) - a.count * flopsOf(a));
}

export const totalFlops = (products: readonly (ProductSize & { count: number })[]): number =>
  products.reduce((sum, size) => sum + size.count * flopsOf(size), 0);
