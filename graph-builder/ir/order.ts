/** @file The order of nodes in a file decides in which order ONNX Runtime runs them. */
import { prune } from './graph.js';
import type { Graph, Node } from './types.js';

/**
 * Puts the nodes that no other reads (gradients of parameters) at the end, the one that was made last first.
 *
 * ONNX Runtime's default order is depth-first from the node without readers that stands last. As differentiation
 * leaves them, that is the first layer's gradient: the whole backward pass would run for it alone, and what all other
 * gradients are made of would be kept until then. From the end of the model on, each layer is finished before the next.
 * Source: onnxruntime, core/graph/graph_viewer.cc and Graph::ReverseDFSFrom.
 */
export function leavesLast(graph: Graph): Graph {
  const pruned = prune(graph);
  const read = new Set(pruned.nodes.flatMap((node) => node.inputs));
  const isLeaf = (node: Node): boolean => node.outputs.every((v) => !read.has(v));
  return {
    ...pruned,
    nodes: [...pruned.nodes.filter((n) => !isLeaf(n)), ...pruned.nodes.filter(isLeaf).reverse()],
  };
}
