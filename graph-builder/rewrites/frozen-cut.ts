/** @file The frozen cut: what depends on nothing trainable is computed once and fed from then on. */
import { GraphBuilder } from '../ir/builder.js';
import { product, quotient } from '../ir/dim.js';
import { prune } from '../ir/graph.js';
import {
  type Dim,
  type Graph,
  isParameter,
  type Node,
  type Parameter,
  type Shape,
  type Value,
} from '../ir/types.js';
import { rewriteNodes } from './rewrite-nodes.js';

export interface CutOptions {
  /** the input that makes a value worth keeping: what depends on none of it is cheap */
  readonly source: string;
  /** inputs that kept values may depend on, `source` included; anything else (seeds, answers) is redrawn */
  readonly inputs: ReadonlySet<string>;
  /** frozen parameters that kept values may depend on; default: all frozen ones */
  readonly parameters?: (p: Parameter) => boolean;
  /** leading axis of kept values: one row an item */
  readonly items: Dim;
}

/** A value that is computed once an item. */
export interface Feature {
  /** input of the graph that trains, output of the frozen one */
  readonly name: string;
  /** numbers an item; of rows a token, symbolic: e.g. '128*question_tokens' */
  readonly size: Dim;
  /** of the value in the whole graph */
  readonly shape: Shape;
}

export interface FrozenCut {
  /** items → features, each [items, size] */
  readonly frozen: Graph;
  /** the graph without the frozen part; features are inputs */
  readonly rest: Graph;
  readonly features: readonly Feature[];
}

interface Marked {
  /** values that depend on allowed things only */
  readonly fixed: ReadonlySet<Value>;
  /** those of them that depend on the source and on a parameter */
  readonly costly: ReadonlySet<Value>;
}

/** Walks the graph once: what stays the same, and what of it is worth keeping. */
function mark(graph: Graph, { source, inputs, parameters = () => true }: CutOptions): Marked {
  const fixed = new Set<Value>(graph.constants);
  const fromSource = new Set<Value>();
  const weighted = new Set<Value>();
  for (const v of graph.inputs) {
    if (inputs.has(v.name)) fixed.add(v);
    if (v.name === source) fromSource.add(v);
  }
  for (const p of graph.parameters) {
    if (p.trainable || !parameters(p)) continue;
    fixed.add(p);
    weighted.add(p);
  }
  for (const node of graph.nodes) {
    const read = node.inputs.filter((v) => v !== undefined);
    if (!read.every((v) => fixed.has(v))) continue;
    for (const output of node.outputs) {
      fixed.add(output);
      if (read.some((v) => fromSource.has(v))) fromSource.add(output);
      if (read.some((v) => weighted.has(v))) weighted.add(output);
    }
  }
  const costly = [...fixed].filter((v) => fromSource.has(v) && weighted.has(v) && !isParameter(v));
  return { fixed, costly: new Set(costly) };
}

/** Whether a value of `graph` would be kept. */
export function keptBy(graph: Graph, options: CutOptions): (v: Value) => boolean {
  const { costly } = mark(graph, options);
  return (v) => costly.has(v);
}

/** Kept values that something outside reads, in the order of the graph. */
function boundary(graph: Graph, { costly }: Marked): Value[] {
  const read = new Set<Value>(Object.values(graph.outputs));
  const isKept = (node: Node) => node.outputs.some((v) => costly.has(v));
  for (const node of graph.nodes) {
    if (!isKept(node)) for (const v of node.inputs) if (v) read.add(v);
  }
  return graph.nodes.flatMap((node) => node.outputs).filter((v) => costly.has(v) && read.has(v));
}

/**
 * Splits a forward graph. Undefined when nothing costly is frozen.
 *
 *   loss(trainable, frozen, x)  →  f = frozen(x) once an item, loss(trainable, f) at every step
 *
 * Kept values are cut to one row an item, [items, size] (or rows of tokens, [items·tokens, width]), so that they can
 * be stored and put together in any batch.
 * Values and gradients are those of the whole graph.
 *
 * @throws {Error} when a kept value has no row an item.
 */
export function frozenCut(graph: Graph, options: CutOptions): FrozenCut | undefined {
  const kept = boundary(graph, mark(graph, options));
  if (kept.length === 0) return undefined;
  const features = kept.map((v, i): Feature & { value: Value } => {
    const size = quotient(product(v.shape), options.items);
    if (size === undefined) throw new Error(`internal: ${v.name} [${v.shape}] has no row an item`);
    return { name: `feature.${i}`, size, shape: v.shape, value: v };
  });
  const g = new GraphBuilder(graph);
  const outputs = features.map((f) => [f.name, g.reshape(f.value, storedShape(f, options))] as const);
  return {
    frozen: prune(g.finish(Object.fromEntries(outputs))),
    rest: prune(feed(graph, features, options)),
    features: features.map(({ name, size, shape }) => ({ name, size, shape })),
  };
}

/** One row an item; rows of tokens stay as they are, since no constant shape says how many an item has. */
const storedShape = ({ size, shape }: Feature, { items }: CutOptions): Shape =>
  typeof size === 'number' ? [items, size] : shape;

/** The graph with features as inputs in the places of the values that they are. */
function feed(graph: Graph, features: readonly (Feature & { value: Value })[], options: CutOptions): Graph {
  const featureOf = new Map(features.map((f) => [f.value, f]));
  return rewriteNodes(graph, (node, { g, original }) => {
    const found = original.outputs.map((v) => featureOf.get(v));
    if (!found.some((f) => f)) return undefined;
    const own = g.copy(node, node.inputs);
    return own.map((v, i) => {
      const feature = found[i];
      if (!feature) return v;
      return g.reshape(g.input(feature.name, 'float32', storedShape(feature, options)), v.shape);
    });
  });
}
