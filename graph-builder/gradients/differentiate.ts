/** @file Reverse-mode automatic differentiation: graph in, graph with gradients out. */
import { GraphBuilder } from '../ir/builder.js';
import { sameShape } from '../ir/dim.js';
import type { Graph, Node, Value } from '../ir/types.js';
import type { OpName } from '../ops/registry.js';
import { activations } from './activations.js';
import { arithmetic } from './arithmetic.js';
import { indexing } from './indexing.js';
import { linear } from './linear.js';
import { logic } from './logic.js';
import { normalization } from './normalization.js';
import { reductions } from './reductions.js';
import type { Contribution, GradientRule, GradientRules } from './rule.js';
import { shapes } from './shapes.js';

const rules: GradientRules = {
  ...activations,
  ...arithmetic,
  ...indexing,
  ...linear,
  ...logic,
  ...normalization,
  ...reductions,
  ...shapes,
};

/** Sums `dy` over the axes along which `shape` was broadcast. */
function unbroadcast(g: GraphBuilder, dy: Value, shape: Value['shape']): Value {
  const lead = dy.shape.length - shape.length;
  const kept = shape.map((_, i) => i + lead).filter((i) => shape[i - lead] === 1 && dy.shape[i] !== 1);
  const outer = g.reduceSum(dy, [...Array(Math.max(lead, 0)).keys()]);
  return g.reduceSum(
    outer,
    kept.map((i) => i - Math.max(lead, 0)),
    1,
  );
}

/** Adds up what the consumers of a value contributed to its gradient. */
class Gradients {
  private readonly contributions = new Map<Value, Contribution[]>();
  private readonly sums = new Map<Value, Value>();

  constructor(private readonly g: GraphBuilder) {}

  contribute(to: Value, contribution: Contribution): void {
    this.contributions.set(to, [...(this.contributions.get(to) ?? []), contribution]);
  }

  of(value: Value): Value | undefined {
    const parts = this.contributions.get(value);
    if (!parts) return undefined;
    let sum = this.sums.get(value);
    if (!sum) {
      for (const part of parts) if (!('addTo' in part)) sum = sum ? this.g.add(sum, part) : part;
      for (const part of parts) if ('addTo' in part) sum = part.addTo(sum);
      this.sums.set(value, sum!);
    }
    return sum;
  }
}

/** Values that depend on one of `sources`. */
function dependents(graph: Graph, sources: readonly Value[]): Set<Value> {
  const result = new Set<Value>(sources);
  for (const node of graph.nodes) {
    if (node.inputs.some((v) => v && result.has(v))) for (const output of node.outputs) result.add(output);
  }
  return result;
}

function backward(
  g: GraphBuilder,
  node: Node,
  gradients: Gradients,
  needed: Set<Value>,
  zero: () => Value,
): void {
  const dys = node.outputs.map((v) => gradients.of(v));
  const dy = dys[0] ?? dys.find((d) => d !== undefined);
  if (!dy) return;
  const { inputs, attrs, outputs } = node;
  const rule = rules[node.op] as unknown as GradientRule<OpName>;
  const context = { g, inputs, attrs, outputs, y: outputs[0]!, dy, dys, zero };
  const thunks = rule(context as unknown as Parameters<typeof rule>[0]) as readonly (
    | (() => Contribution)
    | null
  )[];
  inputs.forEach((input, i) => {
    const thunk = thunks[i];
    if (!input || !needed.has(input) || input.dtype !== 'float32' || !thunk) return;
    const contribution = thunk();
    if ('addTo' in contribution) {
      gradients.contribute(input, contribution);
      return;
    }
    const part = unbroadcast(g, contribution, input.shape);
    if (!sameShape(part.shape, input.shape) || part.dtype !== input.dtype) {
      throw new Error(`internal: ${node.op} gives ${input.name} [${input.shape}] a gradient [${part.shape}]`);
    }
    gradients.contribute(input, part);
  });
}

/** What to differentiate with respect to what. */
export interface DifferentiateOptions {
  /** scalar output of the graph */
  readonly loss: Value;
  /** default: all trainable parameters */
  readonly wrt?: readonly Value[];
}

/**
 * Adds the backward pass of `loss`: an output `<name>.grad` for each trainable parameter.
 *
 * The pass starts from the scalar float32 input `loss_scale` instead of 1, so that gradients stay clear of
 * denormal numbers; the optimizer divides it out. Nothing is emitted below the first trainable parameter.
 *
 * @returns the graph with its own outputs and the gradients.
 * @throws {Error} when the loss does not depend on a trainable parameter.
 */
export function differentiate(graph: Graph, { loss, wrt }: DifferentiateOptions): Graph {
  if (loss.shape.length > 0 || loss.dtype !== 'float32') {
    throw new Error(`internal: the loss is ${loss.dtype}[${loss.shape}], not a float32 scalar`);
  }
  const sources = wrt ?? graph.parameters.filter((p) => p.trainable);
  const needed = dependents(graph, sources);
  const g = new GraphBuilder(graph);
  const scale = g.input('loss_scale', 'float32', []);
  const gradients = new Gradients(g);
  gradients.contribute(loss, scale);
  const zero = () => g.sub(scale, scale);
  g.within('backward', () => {
    for (const node of [...graph.nodes].reverse()) {
      if (node.outputs.some((v) => needed.has(v))) backward(g, node, gradients, needed, zero);
    }
  });
  const outputs: Record<string, Value> = { ...graph.outputs };
  for (const source of sources) {
    const gradient = g.within('backward', () => gradients.of(source));
    if (!gradient) throw new Error(`internal: the loss does not depend on ${source.name}`);
    outputs[`${source.name}.grad`] = gradient;
  }
  return g.finish(outputs);
}
