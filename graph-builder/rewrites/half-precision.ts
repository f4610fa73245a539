/** @file Matrix products in float16 or bfloat16; everything else, and the weights that are trained, stay float32. */
import type { GraphBuilder } from '../ir/builder.js';
import type { Graph, Node, Value } from '../ir/types.js';
import { rewriteNodes } from './rewrite-nodes.js';

export const precisions = ['float32', 'float16', 'bfloat16'] as const;
export type Precision = (typeof precisions)[number];

/** Axes as long as this are a vocabulary's: the softmax over it, and its gradient's tiny numbers, need float32. */
const VOCABULARY = 8192;

const isWide = (v: Value): boolean => v.shape.some((d) => typeof d === 'number' && d >= VOCABULARY);

const isProduct = ({ op }: Node): boolean => op === 'Gemm' || op === 'MatMul' || op === 'Conv';

function inHalf(g: GraphBuilder, node: Node, half: 'float16' | 'bfloat16'): readonly Value[] {
  const [a, b, row] = node.inputs as readonly [Value, Value, Value?];
  const halves = [g.cast(a, half), g.cast(b, half)];
  // the bias is added in float32: it is small, and its gradient is a long sum
  const product = g.copy({ ...node, inputs: [] }, halves)[0]!;
  const single = g.cast(product, 'float32');
  if (!row) return [single];
  const along =
    node.op === 'Conv' ? g.reshape(row, [1, ...row.shape, ...a.shape.slice(2).map(() => 1)]) : row;
  return [g.add(single, along)];
}

/**
 * Rewrites a differentiated graph: forward and backward products of activations and weights run in 16 bits.
 *
 *   y = x·Wᵀ + b   →   y = float32(half(x)·half(W)ᵀ) + b
 *
 * Trained weights stay float32 inputs (master weights), as do losses, normalisation, softmax, the vocabulary's
 * products and all gradients that leave the graph. Frozen weights are cut to float16 once, when ONNX Runtime folds the
 * cast. float16 ends at 65,504: training starts from a loss scale of {@link HALF_LOSS_SCALE} and halves it when a
 * gradient overflows. bfloat16 has float32's range and needs none of this, but only three digits.
 * On the CPU ONNX Runtime computes float16 products in float32; it has none for bfloat16 and refuses the graph.
 * Source: Micikevicius et al. 2018 (arXiv:1710.03740).
 */
export function halfPrecision(graph: Graph, precision: Precision): Graph {
  if (precision === 'float32') return graph;
  return rewriteNodes(graph, (node, { g }) => {
    if (!isProduct(node) || node.outputs[0]!.dtype !== 'float32') return undefined;
    if ([...node.inputs, ...node.outputs].some((v) => v && isWide(v))) return undefined;
    return inHalf(g, node, precision);
  });
}

/** Where the loss scale starts in float16. */
export const HALF_LOSS_SCALE = 2 ** 12;
