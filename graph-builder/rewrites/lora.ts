/** @file LoRA as a graph rewrite, with its variants rsLoRA and DoRA. */
import { z } from 'zod';
import { RewriteError, UserError } from '../errors.js';
import type { GraphBuilder } from '../ir/builder.js';
import type { Dim, Graph, Node, Value } from '../ir/types.js';
import { keepMask, rowSeeds } from '../nn/dropout.js';
import {
  type AdapterMethod,
  type AdapterTensors,
  type BaseLayer,
  besideWeight,
  chooseSites,
  claimSite,
  type GraphMode,
  tensorOf,
} from './adapter-method.js';
import { type LinearSite, linearSites, project, siteSizes } from './linear-sites.js';
import { rewriteNodes } from './rewrite-nodes.js';

/** `kind`: what the scaling is (alpha/rank, or alpha/√rank) and whether a magnitude is trained beside. */
const schema = z.strictObject({
  method: z.literal('lora'),
  kind: z.enum(['lora', 'rslora', 'dora']),
  rank: z.number().int().positive(),
  alpha: z.number(),
  dropout: z.number(),
  sites: z.array(z.string()).readonly(),
});
export type LoraSettings = z.infer<typeof schema>;

/** Source: appendix and code of the paper. */
const ALPHA = 32;
const DROPOUT = 0.1;

/** Names of a site's tensors: `…query.weight` → `…query.lora_A.weight`, `…query.lora_B.weight`, … */
export const loraNames = (weight: string) => ({
  a: besideWeight(weight, 'lora_A.weight'),
  b: besideWeight(weight, 'lora_B.weight'),
  magnitude: besideWeight(weight, 'lora_magnitude_vector'),
});

/** alpha/rank, or alpha/√rank. Source: Kalajdzievski 2023 (arXiv:2312.03732) for the root. */
export const loraScaling = ({ kind, rank, alpha }: LoraSettings): number =>
  alpha / (kind === 'rslora' ? Math.sqrt(rank) : rank);

const vit = [
  'visual_encoder.blocks.*.attn.{qkv,proj}.weight',
  'visual_encoder.blocks.*.mlp.{fc1,fc2}.weight',
  'visual_encoder.patch_embed.proj.weight',
];

/**
 * `paper`: query and key in the text modules and every product of the ViT, as the counts of Tables 1 and 7
 * prove. `text`: as the paper's text says, query and key in the ViT, too: there they are one product with the
 * value. `peft`: PEFT's default, query and value. Source: the paper, section 3.1 and Table 1.
 */
const sitePresets = {
  paper: ['text_{encoder,decoder}.**self.{query,key}.weight', ...vit],
  text: ['text_{encoder,decoder}.**self.{query,key}.weight', 'visual_encoder.blocks.*.attn.qkv.weight'],
  peft: ['text_{encoder,decoder}.**self.{query,value}.weight', ...vit],
  'all-linear': [
    'text_{encoder,decoder}.**self.{query,key,value}.weight',
    'text_{encoder,decoder}.**.dense.weight',
    ...vit,
  ],
} as const;

/** The factors of one site, as parameters and as matrices [rank, in] and [out, rank]. */
function factors(g: GraphBuilder, site: LinearSite, rank: Dim) {
  const { weight, form } = site;
  const { out, window } = siteSizes(site);
  const inFeatures = window.reduce((p, n) => p * n, 1);
  if (typeof rank === 'number' && rank >= Math.min(out, inFeatures)) {
    throw new RewriteError(
      `rank ${rank} is not below the matrix's size [${weight.shape}]`,
      weight.name,
      `choose a rank below ${Math.min(out, inFeatures)}`,
    );
  }
  claimSite(g, weight.name);
  const names = loraNames(weight.name);
  const unit = window.slice(1).map(() => 1); // a convolution's B is a 1x1 convolution
  const a = g.parameter(names.a, [rank, ...window], 'kaimingUniform', true);
  const b = g.parameter(names.b, [out, rank, ...unit], 'zeros', true);
  if (form === 'conv') return { a, b };
  return { a: g.reshape(a, [rank, inFeatures]), b: g.reshape(b, [out, rank]) };
}

/** (x·Aᵀ)·Bᵀ. Two thin products, never B·A first: that one is as large as W. */
function lowRank(g: GraphBuilder, { form, product }: LinearSite, x: Value, a: Value, b: Value): Value {
  if (form !== 'conv') return project(g, project(g, x, a), b);
  const unit = { strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1], group: 1 } as const;
  return g.op('Conv', [g.op('Conv', [x, a], product.attrs as Node<'Conv'>['attrs']), b], unit);
}

/**
 * ‖W + s·B·A‖ of each row, [out], without forming B·A:
 *
 *   ‖w + s·b·A‖² = ‖w‖² + 2s·(w·Aᵀ)·b + s²·b·(A·Aᵀ)·b
 */
function rowNorms(g: GraphBuilder, w: Value, a: Value, b: Value, scaling: number): Value {
  const crossed = g.mul(g.linear(w, a), b);
  const own = g.mul(g.linear(b, g.linear(a, a)), b);
  const low = g.add(g.mul(crossed, 2 * scaling), g.mul(own, scaling * scaling));
  return g.op('Sqrt', [g.add(g.reduceSum(g.mul(w, w), [1]), g.reduceSum(low, [1]))], {});
}

/**
 * DoRA: magnitude and direction apart. The norm counts as a constant in the backward pass.
 *
 *   y = m ⊙ (x·Wᵀ + s·x·Aᵀ·Bᵀ) / ‖W + s·B·A‖ + bias
 *
 * Source: Liu et al. 2024 (arXiv:2402.09353), section 4.3 for the constant norm.
 */
function dora(g: GraphBuilder, site: LinearSite, node: Node, path: Value, scaled: Factors): Value {
  const { weight, form, matrix } = site;
  if (form !== 'rows') {
    throw new RewriteError(
      'DoRA takes linear layers whose weight is stored [out, in]',
      weight.name,
      'choose other --sites, or lora-rN',
    );
  }
  const [x, , bias] = node.inputs as readonly [Value, Value, Value?];
  const { out, window } = siteSizes(site);
  const shape = window.length > 1 ? [1, out, 1, 1] : [out];
  const magnitude = g.parameter(loraNames(weight.name).magnitude, shape, 'rowNorms', true);
  const norms = g.op('Identity', [rowNorms(g, matrix, scaled.a, scaled.b, scaled.scaling)], {});
  const turned = g.mul(g.add(g.linear(x, matrix), path), g.div(g.reshape(magnitude, [out]), norms));
  return bias ? g.add(turned, bias) : turned;
}

interface Factors {
  readonly a: Value;
  readonly b: Value;
  readonly scaling: number;
}

/**
 * LoRA: a trainable low-rank path beside a frozen linear layer.
 *
 *   y = x·Wᵀ   →   y = x·Wᵀ + s·(dropout(x)·Aᵀ)·Bᵀ, s = alpha / rank (rsLoRA: alpha / √rank)
 *
 * Shapes: x [rows, in], W [out, in], A [rank, in], B [out, rank]: as PEFT stores them; of a convolution
 * W [out, channels, p, p], A [rank, channels, p, p], B [out, rank, 1, 1].
 * A starts Kaiming-uniform and B zero (DoRA's magnitude as W's row norms), so step 0 answers like the base
 * model. Adds rank · (in + out) parameters a site (DoRA: and out).
 * Serving graphs have a symbolic rank, and s is folded into B.
 * Source: Hu et al. 2021 (arXiv:2106.09685), section 4.1.
 *
 * @throws {RewriteError} when the rank is not below a matrix's size or a site has an adapter already.
 */
function insert(graph: Graph, settings: LoraSettings, mode: GraphMode): Graph {
  const wanted = new Set(settings.sites);
  const sites = linearSites(graph);
  const serving = mode === 'serving';
  const scaling = serving ? 1 : loraScaling(settings);
  return rewriteNodes(graph, (node, { g, original, current }) => {
    const site = sites.get(original);
    if (!site || !wanted.has(site.weight.name)) return undefined;
    const { a, b } = factors(g, site, serving ? 'rank' : settings.rank);
    const input = current(site.product.inputs[0]!);
    const rate = mode === 'training' ? settings.dropout : 0;
    const dropped = rate > 0 ? noisy(g, input, rate, site) : input;
    // both factors, the scaling and dropout's, go into B: the smallest matrix there is
    const path = lowRank(g, site, dropped, a, g.mul(b, scaling / (1 - rate)));
    if (settings.kind === 'dora') return [dora(g, site, node, path, { a, b, scaling })];
    return [g.add(g.copy(node, node.inputs)[0]!, path)];
  });
}

const noisy = (g: GraphBuilder, x: Value, rate: number, { weight }: LinearSite): Value =>
  g.mul(x, keepMask(g, x, { rate, rows: rowSeeds(g, x.shape[0]!), site: loraNames(weight.name).a }));

/** Serving graphs take s·B. */
function serve(tensors: AdapterTensors, settings: LoraSettings): AdapterTensors {
  const scaling = loraScaling(settings);
  const own = new Set(settings.sites.map((site) => loraNames(site).b));
  return new Map(
    [...tensors].map(([name, { shape, data }]) => [
      name,
      { shape, data: own.has(name) && scaling !== 1 ? data.map((v) => v * scaling) : data },
    ]),
  );
}

/** W + s·B·A, for DoRA with rows of length m. */
function merge({ weight, bias }: BaseLayer, site: string, tensors: AdapterTensors, settings: LoraSettings) {
  const names = loraNames(site);
  const [a, b] = [tensorOf(tensors, names.a).data, tensorOf(tensors, names.b).data];
  const out = weight.shape[0]!;
  const width = weight.data.length / out;
  const scaling = loraScaling(settings);
  const merged = new Float32Array(weight.data.length);
  const row = new Float64Array(width);
  for (let o = 0; o < out; o++) {
    for (let i = 0; i < width; i++) row[i] = weight.data[o * width + i]!;
    for (let r = 0; r < settings.rank; r++) {
      const factor = scaling * b[o * settings.rank + r]!;
      for (let i = 0; i < width; i++) row[i]! += factor * a[r * width + i]!;
    }
    const length = settings.kind === 'dora' ? Math.sqrt(row.reduce((s, v) => s + v * v, 0)) : 1;
    const scale = settings.kind === 'dora' ? tensorOf(tensors, names.magnitude).data[o]! / length : 1;
    for (let i = 0; i < width; i++) merged[o * width + i] = row[i]! * scale;
  }
  return { weight: { shape: weight.shape, data: merged }, bias };
}

const kinds = { lora: 'lora', rslora: 'rslora', dora: 'dora' } as const;

export const lora: AdapterMethod<LoraSettings> = {
  usage: 'lora-rN, rslora-rN or dora-rN (e.g. lora-r8: LoRA of rank 8)',
  schema,
  sitePresets,
  parse(name, { sites = 'paper', alpha = ALPHA, dropout: rate = DROPOUT }, weights) {
    const [, kind, digits] = /^(lora|rslora|dora)-r(-?\d+)$/.exec(name) ?? [];
    if (!kind) return undefined;
    const rank = Number(digits);
    const fail = (what: string, where: string, remedy: string): never => {
      throw new UserError(what, where, remedy);
    };
    if (rank < 1) fail(`rank ${rank} is below 1`, '--variant', 'choose a rank of at least 1, e.g. lora-r8');
    if (!(rate >= 0 && rate < 1))
      fail(`dropout ${rate} is not in [0, 1)`, '--lora-dropout', 'choose e.g. 0.1');
    const chosen = chooseSites(weights, sites, sitePresets);
    return {
      method: 'lora',
      kind: kinds[kind as keyof typeof kinds],
      rank,
      alpha,
      dropout: rate,
      sites: chosen,
    };
  },
  insert,
  serve,
  merge,
};
