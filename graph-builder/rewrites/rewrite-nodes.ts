/** @file The one loop of all node rewrites: graph in, graph out. */
import { GraphBuilder } from '../ir/builder.js';
import { mapValues } from '../ir/graph.js';
import type { Graph, Node, Value } from '../ir/types.js';

/** What a visit knows beside the node. */
export interface Visit {
  readonly g: GraphBuilder;
  /** the node as it stands in the graph that is rewritten */
  readonly original: Node;
  /** what has taken a value's place so far */
  current(value: Value): Value;
}

/**
 * Rebuilds `graph` node by node. `visit` gets each node with its (possibly replaced) inputs and returns the
 * values that take the place of its outputs, or undefined to keep the node.
 */
export function rewriteNodes(
  graph: Graph,
  visit: (node: Node, visit: Visit) => readonly Value[] | undefined,
): Graph {
  const g = new GraphBuilder({ ...graph, nodes: [], outputs: {} });
  g.reserveNames(graph);
  const replaced = new Map<Value, Value>();
  const current = (v: Value): Value => replaced.get(v) ?? v;
  for (const original of graph.nodes) {
    const inputs = original.inputs.map((v) => v && current(v));
    const moved = inputs.every((v, i) => v === original.inputs[i]) ? original : { ...original, inputs };
    const outputs = visit(moved, { g, original, current }) ?? g.copy(original, inputs);
    original.outputs.forEach((v, i) => {
      if (outputs[i] !== v) replaced.set(v, outputs[i]!);
    });
  }
  return g.finish(mapValues(graph.outputs, current));
}
