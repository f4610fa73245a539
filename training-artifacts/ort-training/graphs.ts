/** @file The two graphs of the official format in our IR: loss alone, and loss with gradients. */
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { mapValues, prune, replaceParameters, verify } from '../../graph-builder/ir/graph.js';
import type { Constant, Graph, Node, Value } from '../../graph-builder/ir/types.js';

/** The loss of a graph and nothing else. */
export const lossOnly = (graph: Graph): Graph => prune({ ...graph, outputs: { loss: graph.outputs.loss! } });

/** The graph with a constant in the place of an input that users of the official API cannot feed. */
function fixInput(graph: Graph, name: string, value: number): Graph {
  const input = graph.inputs.find((v) => v.name === name)!;
  const constant: Constant = { ...input, kind: 'constant', shape: [], data: [value] };
  const replaced = (v: Value | undefined) => (v === input ? constant : v);
  return {
    inputs: graph.inputs.filter((v) => v !== input),
    parameters: graph.parameters,
    constants: [...graph.constants, constant],
    nodes: graph.nodes.map((node): Node => ({ ...node, inputs: node.inputs.map(replaced) })),
    outputs: mapValues(graph.outputs, (v) => replaced(v)!),
  };
}

/** The name of a gradient, as ONNX Runtime knows it. */
export const gradientName = (parameter: string): string => `${parameter}_grad`;

/**
 * Loss and gradients of a forward graph: outputs `loss`, then `<name>_grad` for each trainable parameter, in
 * the order of the parameters. The backward pass starts from 1: `loss_scale` is no input.
 */
export function gradientsOf(forward: Graph): Graph {
  const small = lossOnly(forward);
  const both = fixInput(differentiate(small, { loss: small.outputs.loss! }), 'loss_scale', 1);
  const gradients = small.parameters
    .filter((p) => p.trainable)
    .map((p) => [gradientName(p.name), both.outputs[`${p.name}.grad`]!] as const);
  return verify({ ...both, outputs: { loss: both.outputs.loss!, ...Object.fromEntries(gradients) } });
}

/** All parameters as graph inputs, as the official format has them. */
export const parametersAsInputs = (graph: Graph): Graph =>
  replaceParameters(graph, (p) => (p.trainable ? p : { ...p, trainable: true }));
