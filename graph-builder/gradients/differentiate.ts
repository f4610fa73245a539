/** @file Reverse-mode automatic differentiation: graph in, graph with gradients out. */
import { ShapeError, UserError } from '../errors.js';
import { GraphBuilder } from '../ir/builder.js';
import { sameShape } from '../ir/dim.js';
import type { Graph, Node, Value } from '../ir/types.js';
import type { OpName } from '../ops/registry.js';
import { CONSTANT, type Contribution, type GradientRule, NoGradient } from './rule.js';
import { rules } from './rules.js';

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

/**
 * Adds up what the consumers of a value contributed to its gradient, each when it comes: contributions to what many
 * layers read, the image's states, need not wait for the last.
 */
class Gradients {
  private readonly sums = new Map<Value, Value>();
  private readonly waiting = new Map<Value, Exclude<Contribution, Value>[]>();

  constructor(private readonly g: GraphBuilder) {}

  contribute(to: Value, contribution: Contribution): void {
    if ('addTo' in contribution) {
      this.waiting.set(to, [...(this.waiting.get(to) ?? []), contribution]);
      return;
    }
    const sum = this.sums.get(to);
    this.sums.set(to, sum ? this.g.add(sum, contribution) : contribution);
  }

  of(value: Value): Value | undefined {
    let sum = this.sums.get(value);
    for (const part of this.waiting.get(value) ?? []) sum = part.addTo(sum);
    this.waiting.delete(value);
    if (sum) this.sums.set(value, sum);
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

const refusal = (node: Node, why: string, remedy: string, cause?: unknown): UserError =>
  new UserError(
    `${node.op} has no gradient here: ${why}`,
    `node ${node.name ?? node.outputs[0]!.name}`,
    remedy,
    { cause },
  );

type Thunks = readonly ((() => Contribution) | null)[];

/** What `node`'s rule says of its inputs; nothing where the operator is constant almost everywhere. */
function thunksOf(
  g: GraphBuilder,
  node: Node,
  dys: readonly (Value | undefined)[],
  zero: () => Value,
): Thunks {
  const rule = rules[node.op];
  if (rule === CONSTANT) return [];
  if (typeof rule === 'object') {
    throw refusal(node, rule.refused, 'freeze the parameters before it, or export the model without it');
  }
  const { inputs, attrs, outputs } = node;
  const dy = dys.find((d) => d !== undefined);
  const context = { g, inputs, attrs, outputs, y: outputs[0]!, dy, dys, zero };
  const call = rule as unknown as GradientRule<OpName>;
  return call(context as unknown as Parameters<typeof call>[0]) as Thunks;
}

/** Runs a part of a rule; what a model from elsewhere may bring about is told with its node. */
function explained<T>(node: Node, part: () => T): T {
  try {
    return part();
  } catch (error) {
    if (error instanceof NoGradient || error instanceof ShapeError)
      throw refusal(node, error.what, error.remedy, error);
    throw error;
  }
}

function backward(
  g: GraphBuilder,
  node: Node,
  gradients: Gradients,
  needed: Set<Value>,
  zero: () => Value,
): void {
  const isNeeded = (v: Value | undefined) => v !== undefined && needed.has(v) && v.dtype === 'float32';
  if (!node.inputs.some(isNeeded)) return;
  const dys = node.outputs.map((v) => gradients.of(v));
  if (dys.every((d) => d === undefined)) return;
  const thunks = explained(node, () => thunksOf(g, node, dys, zero));
  node.inputs.forEach((input, i) => {
    const thunk = thunks[i];
    if (!input || !isNeeded(input) || !thunk) return;
    const contribution = explained(node, thunk);
    if ('addTo' in contribution) {
      const addTo = (sum: Value | undefined) => explained(node, () => contribution.addTo(sum));
      gradients.contribute(input, { addTo });
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
 * @throws {UserError} when the loss does not depend on a trainable parameter, or passes an operator without
 * a gradient on the way to it.
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
    if (!gradient) {
      const remedy = 'freeze it: no step would change it';
      throw new UserError(`the loss does not depend on ${source.name}`, source.name, remedy);
    }
    outputs[`${source.name}.grad`] = gradient;
  }
  return g.finish(outputs);
}
