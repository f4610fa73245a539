/** @file Whole-graph helpers: check, print, substitute, prune. */
import { formatAttributes } from '../ops/define.js';
import { definitionOf } from '../ops/registry.js';
import { sameShape } from './dim.js';
import type { Graph, Node, Parameter, Value } from './types.js';

/**
 * Infers every shape again and checks order and names.
 *
 * @throws {Error} when a node reads a value before it is made, a name is used twice or a shape differs.
 */
export function verify(graph: Graph): Graph {
  const known = new Set<Value>([...graph.inputs, ...graph.parameters, ...graph.constants]);
  const names = new Set([...known].map((v) => v.name));
  if (names.size !== known.size)
    throw new Error('internal: two inputs, parameters or constants share a name');
  for (const node of graph.nodes) {
    for (const input of node.inputs) {
      if (input && !known.has(input))
        throw new Error(`internal: ${formatNode(node)} reads ${input.name} too early`);
    }
    const types = definitionOf(node.op).infer(node.inputs, node.attrs);
    node.outputs.forEach((output, i) => {
      const type = types[i];
      if (!type || type.dtype !== output.dtype || !sameShape(type.shape, output.shape)) {
        throw new Error(`internal: ${formatNode(node)} should give ${type?.dtype}[${type?.shape}]`);
      }
      if (names.has(output.name)) throw new Error(`internal: the name ${output.name} is used twice`);
      names.add(output.name);
      known.add(output);
    });
  }
  for (const [name, output] of Object.entries(graph.outputs)) {
    if (!known.has(output)) throw new Error(`internal: output ${name} is never made`);
  }
  return graph;
}

/** The record with `change` applied to each value. */
export const mapValues = <T, U>(
  record: Readonly<Record<string, T>>,
  change: (value: T) => U,
): Record<string, U> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));

const formatValue = (v: Value): string => `${v.name} ${v.dtype}[${v.shape}]`;

const formatNode = (node: Node): string =>
  `${node.outputs.map(formatValue).join(', ')} = ${node.op}(${node.inputs.map((v) => v?.name ?? '').join(', ')})${
    Object.keys(node.attrs).length > 0 ? ` ${formatAttributes(node.attrs)}` : ''
  }`;

/** One line an input, parameter, node and output. */
export function printGraph(graph: Graph): string {
  return [
    ...graph.inputs.map((v) => `input ${formatValue(v)}`),
    ...graph.parameters.map((p) => `${p.trainable ? 'trainable' : 'frozen'} ${formatValue(p)}`),
    ...graph.nodes.map(formatNode),
    ...Object.entries(graph.outputs).map(([name, v]) => `output ${name} = ${v.name}`),
  ].join('\n');
}

/** The graph with other parameters in their places (same names and shapes). */
export function replaceParameters(graph: Graph, replace: (p: Parameter) => Parameter): Graph {
  const replaced = new Map<Value, Parameter>(graph.parameters.map((p) => [p, replace(p)]));
  return {
    ...graph,
    parameters: graph.parameters.map((p) => replaced.get(p)!),
    nodes: graph.nodes.map((node) =>
      node.inputs.some((v) => v && replaced.has(v) && replaced.get(v) !== v)
        ? { ...node, inputs: node.inputs.map((v) => (v && replaced.get(v)) ?? v) }
        : node,
    ),
    outputs: mapValues(graph.outputs, (v) => replaced.get(v) ?? v),
  };
}

/** The graph without nodes, inputs, parameters and constants that no output needs. */
export function prune(graph: Graph): Graph {
  const needed = new Set<Value>(Object.values(graph.outputs));
  const nodes: Node[] = [];
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const node = graph.nodes[i]!;
    if (!node.outputs.some((v) => needed.has(v))) continue;
    nodes.push(node);
    for (const input of node.inputs) if (input) needed.add(input);
  }
  return {
    inputs: graph.inputs.filter((v) => needed.has(v)),
    parameters: graph.parameters.filter((v) => needed.has(v)),
    constants: graph.constants.filter((v) => needed.has(v)),
    nodes: nodes.reverse(),
    outputs: graph.outputs,
  };
}
