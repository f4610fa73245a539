/** @file LoRA as a graph rewrite. */
import { RewriteError } from '../errors.js';
import type { GraphBuilder } from '../ir/builder.js';
import type { Dim, Graph, Value } from '../ir/types.js';
import { dropout, rowSeeds } from '../nn/dropout.js';
import { type LinearSite, linearSite } from './linear-sites.js';
import { rewriteNodes } from './rewrite-nodes.js';

export interface LoraOptions {
  /** full names of the weights that get an adapter */
  readonly sites: ReadonlySet<string>;
  /** rank; a symbolic axis in graphs that serve any adapter */
  readonly rank: number | 'rank';
  /** alpha / rank; 1 where it is folded into B already */
  readonly scaling: number;
  /** dropout on the adapter's input while training; 0 in evaluation */
  readonly dropoutRate?: number;
}

/** Names of the two matrices of a site: `…query.weight` → `…query.lora_A.weight`, `…query.lora_B.weight`. */
export const loraNames = (weight: string) => ({
  a: weight.replace(/weight$/, 'lora_A.weight'),
  b: weight.replace(/weight$/, 'lora_B.weight'),
});

function adapterPath(g: GraphBuilder, site: LinearSite, { rank, scaling, dropoutRate }: LoraOptions): Value {
  const { weight } = site;
  const [out, ...window] = weight.shape as [number, ...number[]];
  const inFeatures = window.reduce((p, n) => p * n, 1);
  if (rank !== 'rank' && rank >= Math.min(out, inFeatures)) {
    throw new RewriteError(
      `rank ${rank} is not below the matrix's size [${weight.shape}]`,
      weight.name,
      `choose a rank below ${Math.min(out, inFeatures)}`,
    );
  }
  const names = loraNames(weight.name);
  if (g.hasParameter(names.a))
    throw new RewriteError('the site has an adapter already', weight.name, 'merge it first');
  const unit = window.slice(1).map(() => 1); // a convolution's B is a 1x1 convolution
  const a = g.parameter(names.a, [rank, ...window], 'kaimingUniform', true);
  const b = g.parameter(names.b, [out, rank, ...unit], 'zeros', true);
  const flat = (v: Value, shape: readonly Dim[]) => g.reshape(v, shape);
  const x = dropoutRate
    ? dropout(g, site.x, { rate: dropoutRate, rows: rowSeeds(g, site.x.shape[0]!), site: names.a })
    : site.x;
  // Two thin products, never B·A first: that one is as large as W.
  return g.mul(g.linear(g.linear(x, flat(a, [rank, inFeatures])), flat(b, [out, rank])), scaling);
}

/**
 * LoRA: a trainable low-rank path beside a frozen linear layer.
 *
 *   y = x·Wᵀ   →   y = x·Wᵀ + (alpha / rank) · (dropout(x)·Aᵀ)·Bᵀ
 *
 * Shapes: x [rows, in], W [out, in], A [rank, in], B [out, rank]: as PEFT stores them; of a patch convolution
 * W [out, 3, p, p], A [rank, 3, p, p], B [out, rank, 1, 1].
 * A starts Kaiming-uniform and B zero, so step 0 answers exactly like the base model.
 * Adds rank · (in + out) parameters a site. Sites that the graph does not contain are passed over: the
 * inference graphs hold one module each.
 * Source: Hu et al. 2021 (arXiv:2106.09685), section 4.1.
 *
 * @throws {RewriteError} when the rank is not below a matrix's size or a site has an adapter already.
 */
export function lora(graph: Graph, options: LoraOptions): Graph {
  return rewriteNodes(graph, (g, node) => {
    const site = linearSite(g, node);
    if (!site || !options.sites.has(site.weight.name)) return undefined;
    const y = g.copy(node, node.inputs)[0]!;
    return [g.add(y, adapterPath(g, { ...site, y }, options))];
  });
}
