/** @file Recomputation: activations are rebuilt in the backward pass instead of being kept from the forward pass. */
import type { GraphBuilder } from '../ir/builder.js';
import { sameShape } from '../ir/dim.js';
import { type Graph, isInput, type Node, type Value } from '../ir/types.js';
import { rewriteNodes } from './rewrite-nodes.js';

/**
 * attention: scores, probabilities and their dropout masks are rebuilt.
 * blocks:    all but the residual stream is rebuilt: a third more time, least memory.
 */
export const recomputeModes = ['none', 'attention', 'blocks'] as const;
export type RecomputeMode = (typeof recomputeModes)[number];

/** The driver of differentiation makes its nodes within this scope. */
const isBackward = (node: Node): boolean => node.outputs[0]!.name.startsWith('backward/');

/** Nodes of the shape of some softmax: [batch, heads, tokens, keys]. */
function attentionNodes(forward: readonly Node[]): Set<Node> {
  const shapes = forward.filter((n) => n.op === 'Softmax').map((n) => n.outputs[0]!.shape);
  return new Set(forward.filter((n) => shapes.some((shape) => sameShape(n.outputs[0]!.shape, shape))));
}

/** An addition to the residual stream: of two equal matrices, one of which the stream already is. */
function isResidual(node: Node, producers: ReadonlyMap<Value, Node>): boolean {
  const [a, b] = node.inputs as readonly [Value, Value];
  if (node.op !== 'Add' || a.shape.length !== 2 || !sameShape(a.shape, b.shape)) return false;
  return [a, b].some((v) => ['Add', 'LayerNormalization', 'Reshape'].includes(producers.get(v)?.op ?? ''));
}

/** All of the blocks but the stream; embeddings and the vocabulary's logits stay as they are. */
function blockNodes(forward: readonly Node[], producers: ReadonlyMap<Value, Node>): Set<Node> {
  const within = forward.filter((n) => !n.outputs[0]!.name.startsWith('loss/') && n.op !== 'Gather');
  return new Set(within.filter((n) => !isResidual(n, producers)));
}

/**
 * Which group of connected nodes a rebuilt node belongs to: one is rebuilt as a whole, when its gradient arrives.
 * Dropout's seeds, which many masks share, connect nothing.
 */
function groupsOf(rebuilt: ReadonlySet<Node>, producers: ReadonlyMap<Value, Node>): Map<Node, number> {
  const groups = new Map<Node, number>();
  const parent: number[] = [];
  const root = (i: number): number => (parent[i] === i ? i : root(parent[i]!));
  for (const node of rebuilt) {
    const own = parent.push(parent.length) - 1;
    groups.set(node, own);
    for (const v of node.inputs) {
      const from = v && producers.get(v);
      if (v?.dtype !== 'int32' && from && rebuilt.has(from)) parent[root(groups.get(from)!)] = own;
    }
  }
  return new Map([...groups].map(([node, i]) => [node, root(i)]));
}

/** Values that depend on the loss scale: gradients. */
function gradientsOf(graph: Graph): Set<Value> {
  const found = new Set<Value>(graph.inputs.filter((v) => v.name === 'loss_scale'));
  for (const node of graph.nodes)
    if (node.inputs.some((v) => v && found.has(v))) for (const v of node.outputs) found.add(v);
  return found;
}

/** Rebuilds groups of nodes from values that were kept. */
class Rebuilder {
  private readonly copies = new Map<Value, Value>();
  private readonly gates = new Map<number, Value>();
  /** the gradient that was made last */
  latest: Value | undefined;

  constructor(
    private readonly producers: ReadonlyMap<Value, Node>,
    private readonly groups: ReadonlyMap<Node, number>,
  ) {}

  /** The value as the backward pass reads it. */
  of(v: Value, g: GraphBuilder, current: (v: Value) => Value): Value {
    const node = this.producers.get(v);
    const group = node && this.groups.get(node);
    if (!node || group === undefined || !this.latest) return current(v);
    const known = this.copies.get(v);
    if (known) return known;
    const inputs = node.inputs.map((input) => input && this.leaf(input, group, g, current));
    const outputs = g.apply(node.op, inputs as never, node.attrs as never);
    node.outputs.forEach((output, i) => {
      this.copies.set(output, outputs[i]!);
    });
    return this.copies.get(v)!;
  }

  /**
   * An input of a rebuilt node. Kept values get a zero added that depends on the gradient: the copy then is a
   * computation of its own, which ONNX Runtime neither merges with the first nor runs before the gradient is there.
   */
  private leaf(v: Value, group: number, g: GraphBuilder, current: (v: Value) => Value): Value {
    const node = this.producers.get(v);
    if (node && this.groups.has(node)) return this.of(v, g, current);
    const kept = current(v);
    // of inputs only the seeds of dropout masks: they are small, the masks are not
    if (!node && !(isInput(kept) && kept.dtype === 'int32')) return kept;
    if (kept.dtype === 'float32') return g.add(kept, this.gate(group, g));
    return kept.dtype === 'int32' ? g.add(kept, g.cast(this.gate(group, g), 'int32')) : kept;
  }

  private gate(group: number, g: GraphBuilder): Value {
    let gate = this.gates.get(group);
    if (!gate) {
      const any = g.reduceMean(this.latest!, [...this.latest!.shape.keys()]);
      gate = g.sub(any, any);
      this.gates.set(group, gate);
    }
    return gate;
  }
}

/**
 * Rewrites a differentiated graph so that its backward pass rebuilds what `mode` says from what is kept.
 *
 * Values and gradients are bit-identical: the same operators on the same numbers. A gradient that is not finite
 * makes rebuilt values so, too: the step is skipped then in any case.
 * Source: Chen et al. 2016 (arXiv:1604.06174), here by the position of layers instead of √n segments.
 */
export function recompute(graph: Graph, mode: RecomputeMode): Graph {
  if (mode === 'none') return graph;
  const producers = new Map(graph.nodes.flatMap((n) => n.outputs.map((v) => [v, n] as const)));
  const forward = graph.nodes.filter((n) => !isBackward(n));
  const rebuilt = mode === 'attention' ? attentionNodes(forward) : blockNodes(forward, producers);
  const gradients = gradientsOf(graph);
  const rebuilder = new Rebuilder(producers, groupsOf(rebuilt, producers));
  return rewriteNodes(graph, (node, { g, original, current }) => {
    if (!isBackward(original)) return undefined;
    const inputs = g.within('rebuilt', () => original.inputs.map((v) => v && rebuilder.of(v, g, current)));
    const outputs = g.copy(node, inputs);
    const made = original.outputs.findIndex((v) => gradients.has(v) && v.dtype === 'float32');
    if (made >= 0) rebuilder.latest = outputs[made]!;
    return outputs;
  });
}
