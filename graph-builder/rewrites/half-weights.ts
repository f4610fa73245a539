/** @file Frozen weights stored in float16. */
import type { GraphBuilder } from '../ir/builder.js';
import { replaceParameters } from '../ir/graph.js';
import { type Graph, isParameter, type Node, type Parameter, type Value } from '../ir/types.js';
import { rewriteNodes } from './rewrite-nodes.js';

const isHalf = (v: Value | undefined): v is Parameter => isParameter(v) && v.dtype === 'float16';

function withCasts(g: GraphBuilder, node: Node, tables: 'rows' | 'whole'): readonly Value[] {
  if (node.op === 'Gather' && tables === 'rows') {
    // the rows that are asked for, not the whole table
    const [table, indices] = node.inputs as readonly [Value, Value];
    return [g.cast(g.op('Gather', [table, indices], node.attrs as Node<'Gather'>['attrs']), 'float32')];
  }
  const inputs = node.inputs.map((v) => (isHalf(v) ? g.cast(v, 'float32') : v));
  return g.copy(node, inputs);
}

/**
 * The graph with some frozen weights as float16 initialisers, cast where they are read:
 *
 *   y = x·Wᵀ   →   y = x·float32(W)ᵀ
 *
 * Everything is computed in float32, on any provider. ONNX Runtime folds the casts when it loads the graph: the file
 * is half as large, memory is not, and weights are copied, not mapped. Of tables that are read by row, `rows` casts
 * those that are asked for, which saves memory on the CPU; `whole` casts the table when the graph is loaded, since
 * many WebGPU devices read no float16.
 */
export function halfWeights(
  graph: Graph,
  stored: (p: Parameter) => boolean,
  tables: 'rows' | 'whole' = 'rows',
): Graph {
  const half = replaceParameters(graph, (p) => (!p.trainable && stored(p) ? { ...p, dtype: 'float16' } : p));
  if (!half.parameters.some(isHalf)) return graph;
  return rewriteNodes(half, (node, { g }) =>
    node.inputs.some(isHalf) ? withCasts(g, node, tables) : undefined,
  );
}
