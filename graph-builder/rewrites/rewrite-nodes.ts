/** @file The one loop of all node rewrites: graph in, graph out. */
import { GraphBuilder } from '../ir/builder.js';
import { mapValues } from '../ir/graph.js';
import type { Graph, Node, Value } from '../ir/types.js';

/**
 * Rebuilds `graph` node by node. `visit` gets each node with its (possibly replaced) inputs and returns the
 * values that take the place of its outputs, or undefined to keep the node.
 */
export function rewriteNodes(
  graph: Graph,
  visit: (g: GraphBuilder, node: Node) => readonly Value[] | undefined,
): Graph {
  const g = new GraphBuilder({ ...graph, nodes: [], outputs: {} });
  g.reserveNames(graph);
  const replaced = new Map<Value, Value>();
  const current = (v: Value): Value => replaced.get(v) ?? v;
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((v) => v && current(v));
    const moved = inputs.every((v, i) => v === node.inputs[i]) ? node : { ...node, inputs };
    const outputs = visit(g, moved) ?? g.copy(node, inputs);
    node.outputs.forEach((v, i) => {
      if (outputs[i] !== v) replaced.set(v, outputs[i]!);
    });
  }
  return g.finish(mapValues(graph.outputs, current));
}
