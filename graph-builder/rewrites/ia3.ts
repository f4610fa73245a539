/** @file (IA)3 as a graph rewrite. */
import { z } from 'zod';
import { RewriteError } from '../errors.js';
import type { GraphBuilder } from '../ir/builder.js';
import type { Graph, Value } from '../ir/types.js';
import {
  type AdapterMethod,
  type AdapterTensors,
  type BaseLayer,
  besideWeight,
  chooseSites,
  claimSite,
  tensorOf,
} from './adapter-method.js';
import { globToRegExp } from './glob.js';
import { type LinearSite, linearSites, siteSizes } from './linear-sites.js';
import { rewriteNodes } from './rewrite-nodes.js';

const schema = z.strictObject({
  method: z.literal('ia3'),
  sites: z.array(z.string()).readonly(),
  /** those of the sites whose input is scaled instead of their output */
  feedforward: z.array(z.string()).readonly(),
});
export type Ia3Settings = z.infer<typeof schema>;

/**
 * `paper`: keys and values, and the input of every output projection; in the ViT the input of fc2.
 * `vit-attention`: the same count in the ViT, from the outputs of qkv and proj.
 * Source: Table 3 of the paper, whose counts both forms give.
 */
const text = [
  'text_{encoder,decoder}.**self.{key,value}.weight',
  'text_{encoder,decoder}.**.output.dense.weight',
];
const sitePresets = {
  paper: [...text, 'visual_encoder.blocks.*.mlp.fc2.weight'],
  'vit-attention': [...text, 'visual_encoder.blocks.*.attn.{qkv,proj}.weight'],
} as const;

/** Second layers of a feed-forward block and output projections: scaled at their input. */
const feedforwardGlobs = ['**output.dense.weight', '**.{fc2,w2,down_proj}.weight'].map(globToRegExp);

export const ia3Name = (weight: string): string => besideWeight(weight, 'ia3_l');

/** The vector of a site, shaped as PEFT stores it, and as it multiplies the site's rows. */
function vector(g: GraphBuilder, site: LinearSite, atInput: boolean): Value {
  const { weight, form } = site;
  const { out, window } = siteSizes(site);
  if (atInput && window.length > 1) {
    throw new RewriteError(
      '(IA)3 scales the input of linear layers only, not of a convolution',
      weight.name,
      'choose other --sites',
    );
  }
  claimSite(g, weight.name);
  const unit = window.slice(1).map(() => 1);
  const shape = window.length > 1 ? [1, out, ...unit] : atInput ? [1, window[0]!] : [out, 1];
  const l = g.parameter(ia3Name(weight.name), shape, 'ones', true);
  if (form === 'conv') return l; // [1, out, 1, 1] broadcasts over [n, out, h, w]
  return g.reshape(l, [atInput ? window[0]! : out]);
}

/**
 * (IA)3: learned vectors that scale activations.
 *
 *   y = x·Wᵀ + b   →   y = l ⊙ (x·Wᵀ + b)   or, at feed-forward sites,   y = (l ⊙ x)·Wᵀ + b
 *
 * Shapes: l [out, 1] at the output, [1, in] at the input, as PEFT stores them. Starts at 1: step 0 answers
 * exactly like the base model. Adds out (or in) parameters a site.
 * Source: Liu et al. 2022 (arXiv:2205.05638), section 3.3.
 *
 * @throws {RewriteError} when a site has an adapter already, or is a convolution scaled at its input.
 */
function insert(graph: Graph, settings: Ia3Settings): Graph {
  const wanted = new Set(settings.sites);
  const atInput = new Set(settings.feedforward);
  const byResult = linearSites(graph);
  const byProduct = new Map([...byResult.values()].map((site) => [site.product, site]));
  return rewriteNodes(graph, (node, { g, original }) => {
    const fed = byProduct.get(original);
    if (fed && atInput.has(fed.weight.name)) {
      const [x, ...rest] = node.inputs as readonly [Value, ...Value[]];
      return g.copy(node, [g.mul(x, vector(g, fed, true)), ...rest]);
    }
    const site = byResult.get(original);
    if (!site || !wanted.has(site.weight.name) || atInput.has(site.weight.name)) return undefined;
    return [g.mul(g.copy(node, node.inputs)[0]!, vector(g, site, false))];
  });
}

/** W's rows and the bias, or W's columns, times l. */
function merge(
  { weight, bias }: BaseLayer,
  site: string,
  tensors: AdapterTensors,
  settings: Ia3Settings,
): BaseLayer {
  const l = tensorOf(tensors, ia3Name(site)).data;
  const width = weight.data.length / weight.shape[0]!;
  if (settings.feedforward.includes(site)) {
    return { weight: { ...weight, data: weight.data.map((v, i) => v * l[i % width]!) }, bias };
  }
  return {
    weight: { ...weight, data: weight.data.map((v, i) => v * l[Math.floor(i / width)]!) },
    bias: bias && { ...bias, data: bias.data.map((v, i) => v * l[i]!) },
  };
}

export const ia3: AdapterMethod<Ia3Settings> = {
  usage: 'ia3',
  schema,
  sitePresets,
  parse(name, { sites = 'paper' }, weights) {
    if (name !== 'ia3') return undefined;
    const chosen = chooseSites(weights, sites, sitePresets);
    const feedforward = chosen.filter((site) => feedforwardGlobs.some((r) => r.test(site)));
    return { method: 'ia3', sites: chosen, feedforward };
  },
  insert,
  serve: (tensors) => tensors,
  merge,
};
