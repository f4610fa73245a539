/** @file Recomputation: activations are rebuilt in the backward pass instead of being kept from the forward pass. */
import type { GraphBuilder } from '../ir/builder.js';
import { sameShape } from '../ir/dim.js';
import type { Graph, Node, Value } from '../ir/types.js';
import { rewriteNodes } from './rewrite-nodes.js';

/**
 * selective: attention's scores and probabilities and all that is cheap: dropout masks, what they drop, activations,
 *            normalised states. Matrix products and sums are kept.
 * blocks:    all but the residual stream is rebuilt: a fifth more time, least memory.
 */
export const recomputeModes = ['none', 'selective', 'blocks'] as const;
export type RecomputeMode = (typeof recomputeModes)[number];

/** Stands for an axis whose length is known at run time only. */
const LONG = 1e4;

/** The driver of differentiation makes its nodes within this scope. */
const isBackward = (node: Node): boolean => node.outputs[0]!.name.startsWith('backward/');

/** Operators whose result costs little more than reading their input, on states [rows, width]. */
const CHEAP: ReadonlySet<string> = new Set(['Mul', 'Cast', 'Greater', 'Gelu', 'LayerNormalization']);

const isSwap = ({ op, attrs }: Node): boolean =>
  op === 'Transpose' && `${(attrs as Node<'Transpose'>['attrs']).perm}` === '0,1,3,2';

/** Nodes of the shape of some softmax, [batch, heads, tokens, keys], transposed keys, and cheap ones. */
function selectiveNodes(forward: readonly Node[]): Set<Node> {
  const shapes = forward.filter((n) => n.op === 'Softmax').map((n) => n.outputs[0]!.shape);
  const isAttention = ({ shape }: Value) => shapes.some((other) => sameShape(shape, other));
  const isCheap = ({ op, outputs: [y] }: Node) =>
    CHEAP.has(op) && y!.shape.length === 2 && !y!.name.startsWith('loss/');
  return new Set(forward.filter((n) => isAttention(n.outputs[0]!) || isSwap(n) || isCheap(n)));
}

/** Operators that the residual stream comes from. */
const STREAM: ReadonlySet<string> = new Set(['Add', 'LayerNormalization', 'Reshape']);

type Producers = ReadonlyMap<Value, Node>;

/** The nodes that make what a node reads. */
const before = ({ inputs }: Node, producers: Producers): Node[] =>
  inputs.flatMap((v) => (v && producers.get(v)) ?? []);

/** An addition to the residual stream: of two equal matrices, one of which the stream already is. */
function isResidual(node: Node, producers: Producers): boolean {
  const [a, b] = node.inputs as readonly [Value, Value];
  if (node.op !== 'Add' || a.shape.length !== 2 || !sameShape(a.shape, b.shape)) return false;
  return before(node, producers).some(({ op }) => STREAM.has(op));
}

/** What the residual streams begin with, and all that leads there. */
function embeddingNodes(forward: readonly Node[], producers: Producers): Set<Node> {
  const places = new Map(forward.map((node, i) => [node, i]));
  const later = new Set<Node>();
  const found = new Set<Node>();
  const add = (node: Node): void => {
    if (later.has(node) || found.has(node)) return;
    found.add(node);
    for (const other of before(node, producers)) add(other);
  };
  for (const node of forward) {
    const sources = before(node, producers).sort((a, b) => places.get(a)! - places.get(b)!);
    const joins = isResidual(node, producers);
    // the stream is older than what is added to it
    if (joins) add(sources[0]!);
    if (joins || sources.some((source) => later.has(source))) later.add(node);
  }
  return found;
}

/** All of the blocks but the stream; embeddings and the vocabulary's logits stay as they are. */
function blockNodes(forward: readonly Node[], producers: Producers): Set<Node> {
  const embedding = embeddingNodes(forward, producers);
  const isWithin = (n: Node) => !n.outputs[0]!.name.startsWith('loss/') && !embedding.has(n);
  return new Set(forward.filter((n) => isWithin(n) && !isResidual(n, producers)));
}

/**
 * Which group of connected nodes a rebuilt node belongs to: one is rebuilt as a whole, when its gradient arrives.
 * Dropout's seeds, which many masks share, connect nothing.
 */
function groupsOf(rebuilt: ReadonlySet<Node>, producers: Producers): Map<Node, number> {
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

function firstNumber(v: Value, g: GraphBuilder): Value {
  const axes = [...v.shape.keys()];
  if (axes.length === 0) return v;
  const ends = axes.map(() => 1);
  return g.reshape(g.op('Slice', [v], { starts: axes.map(() => 0), ends, axes }), []);
}

/** Rebuilds groups of nodes from values that were kept. */
class Rebuilder {
  private readonly copies = new Map<Value, Value>();
  private readonly gates = new Map<number, Value>();
  /** the gradient that was made last */
  latest: Value | undefined;

  constructor(
    private readonly producers: Producers,
    private readonly groups: ReadonlyMap<Node, number>,
  ) {}

  /** The value as the backward pass reads it. */
  of(v: Value, g: GraphBuilder, current: (v: Value) => Value): Value {
    const node = this.producers.get(v);
    const group = node && this.groups.get(node);
    if (!node || group === undefined || !this.latest) return current(v);
    const known = this.copies.get(v);
    if (known) return known;
    const gated = this.gatedInput(node);
    const inputs = node.inputs.map((input) => {
      if (!input || this.isRebuilt(input)) return input && this.of(input, g, current);
      return input === gated ? this.behindGate(current(input), group, g) : current(input);
    });
    const outputs = g.apply(node.op, inputs as never, node.attrs as never);
    node.outputs.forEach((output, i) => {
      this.copies.set(output, outputs[i]!);
    });
    return this.copies.get(v)!;
  }

  private isRebuilt(v: Value): boolean {
    const node = this.producers.get(v);
    return node !== undefined && this.groups.has(node);
  }

  /**
   * The input that waits for the gradient: of a node that reads nothing rebuilt the smallest, of a product the left
   * operand (its bias may be added apart).
   */
  private gatedInput({ op, inputs }: Node): Value | undefined {
    if (inputs.some((v) => v && this.isRebuilt(v))) return undefined;
    if (op === 'Gemm' || op === 'MatMul') return inputs[0];
    const size = ({ shape }: Value) =>
      shape.reduce((n: number, d) => n * (typeof d === 'number' ? d : LONG), 1);
    const fit = inputs.filter((v) => v !== undefined && (v.dtype === 'float32' || v.dtype === 'int32'));
    return fit.toSorted((a, b) => size(a!) - size(b!))[0];
  }

  /**
   * The value with a zero added that depends on the gradient: what reads it then is a computation of its own, which
   * ONNX Runtime neither merges with the first nor runs before the gradient is there.
   */
  private behindGate(kept: Value, group: number, g: GraphBuilder): Value {
    const gate = this.gate(group, g);
    return g.add(kept, kept.dtype === 'int32' ? g.cast(gate, 'int32') : gate);
  }

  private gate(group: number, g: GraphBuilder): Value {
    let gate = this.gates.get(group);
    if (!gate) {
      const any = firstNumber(this.latest!, g);
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
 * Source: selective: Korthikanti et al. 2022 (arXiv:2205.05198), section 5, and more; blocks: Chen et al. 2016
 * (arXiv:1604.06174), here by the position of layers instead of √n segments.
 */
export function recompute(graph: Graph, mode: RecomputeMode): Graph {
  if (mode === 'none') return graph;
  const producers = new Map(graph.nodes.flatMap((n) => n.outputs.map((v) => [v, n] as const)));
  const forward = graph.nodes.filter((n) => !isBackward(n));
  const rebuilt = mode === 'selective' ? selectiveNodes(forward) : blockNodes(forward, producers);
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
