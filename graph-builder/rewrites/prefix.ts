/** @file Trained keys and values before a text module's own: prefix tuning and P-tuning v2 as graph rewrites. */
import { z } from 'zod';
import { RewriteError, UserError } from '../errors.js';
import type { GraphBuilder } from '../ir/builder.js';
import { sum } from '../ir/dim.js';
import type { Dim, Graph, Node, Parameter, Value } from '../ir/types.js';
import { widenMask } from '../nn/attention.js';
import {
  type AdapterMethod,
  type AdapterTensor,
  type AdapterTensors,
  chooseSites,
  type GraphMode,
  tensorOf,
} from './adapter-method.js';
import { linearSites } from './linear-sites.js';
import { rewriteNodes } from './rewrite-nodes.js';

const common = {
  /** virtual tokens */
  tokens: z.number().int().positive(),
  /** layers of the module: the table has two column blocks for each */
  layers: z.number().int().positive(),
  hidden: z.number().int().positive(),
  /** key projections of the layers that get a prefix */
  sites: z.array(z.string()).readonly(),
};
const prefixSchema = z.strictObject({ method: z.literal('prefix'), ...common });
const ptuningSchema = z.strictObject({ method: z.literal('ptv2'), ...common });
export type PrefixSettings = z.infer<typeof prefixSchema> | z.infer<typeof ptuningSchema>;

const sitePresets = { paper: ['text_{encoder,decoder}.**.attention.self.key.weight'] } as const;

const SITE = /^([^.]+)\..*\.layer\.(\d+)\.attention\.self\.key\.weight$/;

/** `text_encoder.prompt_encoder.` and what stands below it, named as PEFT's prompt encoder. */
export function prefixNames(sites: readonly string[]) {
  const module = SITE.exec(sites[0]!)![1]!;
  const stem = `${module}.prompt_encoder`;
  return {
    module,
    embedding: `${stem}.embedding.weight`,
    hidden: { weight: `${stem}.transform.0.weight`, bias: `${stem}.transform.0.bias` },
    output: { weight: `${stem}.transform.2.weight`, bias: `${stem}.transform.2.bias` },
    /** the projected table, as it is saved and served */
    table: `${module}.prompt_embeddings`,
  };
}

/**
 * The table [tokens, layers·2·hidden]; with the prefix method's projection
 *
 *   table = tanh(E·W₀ᵀ + b₀)·W₂ᵀ + b₂,  E [tokens, hidden], W₀ [hidden, hidden], W₂ [layers·2·hidden, hidden]
 *
 * Initial values as PyTorch's embedding (standard normal) and linear layers (uniform; biases here 0).
 */
function table(g: GraphBuilder, settings: PrefixSettings, serving: boolean): Value {
  const { method, tokens, layers, hidden } = settings;
  const names = prefixNames(settings.sites);
  const columns = 2 * layers * hidden;
  if (serving) return g.parameter(names.table, ['virtual_tokens', columns], 'zeros', true);
  const width = method === 'prefix' ? hidden : columns;
  const embedding = g.parameter(names.embedding, [tokens, width], 'standardNormal', true);
  if (method === 'ptv2') return embedding;
  const layer = (x: Value, { weight, bias }: { weight: string; bias: string }, out: number) =>
    g.linear(
      x,
      g.parameter(weight, [out, hidden], 'kaimingUniform', true),
      g.parameter(bias, [out], 'zeros', true),
    );
  return layer(g.op('Tanh', [layer(embedding, names.hidden, hidden)], {}), names.output, columns);
}

/** Column blocks of the table as [1, tokens, heads, headDim]: block 2l is layer l's key, 2l+1 its value. */
function blocksOf(
  g: GraphBuilder,
  values: Value,
  layers: number,
  [heads, headDim]: readonly [number, number],
) {
  const tokens = values.shape[0]!;
  const split = new Array<number>(2 * layers).fill(1);
  const parts = g.apply('Split', [g.reshape(values, [tokens, 2 * layers, heads, headDim])], {
    axis: 1,
    split,
  });
  return parts.map((part) => g.reshape(part, [1, tokens, heads, headDim]));
}

/** Keys or values [batch, tokens, heads, headDim] with a prefix before them. */
function prepend(g: GraphBuilder, own: Value, prefix: Value): Value {
  // zero [batch, 1, 1, 1] repeats the prefix for each sample without computing a shape
  const any = g.reduceMean(own, [1, 2, 3], 1);
  const zero = g.op('Identity', [g.sub(any, any)], {});
  return g.op('Concat', [g.add(zero, prefix), own], { axis: 1 });
}

/** Zeros [tokens]. */
function zeroRow(g: GraphBuilder, settings: PrefixSettings, serving: boolean): Value {
  if (!serving) return g.constant(new Array(settings.tokens).fill(0), [settings.tokens]);
  const any = g.reduceMean(table(g, settings, serving), [1]);
  return g.sub(any, any);
}

/** Where a key or value projection [rows, hidden] is cut into tokens: the nodes that get a prefix, with their block. */
function cuts(graph: Graph, sites: readonly string[]): Map<Node, number> {
  const block = new Map<string, number>();
  for (const site of sites) {
    const layer = Number(SITE.exec(site)![2]);
    block.set(site, 2 * layer);
    block.set(site.replace(/key\.weight$/, 'value.weight'), 2 * layer + 1);
  }
  const projected = new Map<Value, number>();
  for (const [node, { weight }] of linearSites(graph)) {
    const at = block.get(weight.name);
    if (at !== undefined) projected.set(node.outputs[0]!, at);
  }
  const found = graph.nodes.flatMap((node) => {
    const at = node.op === 'Reshape' ? projected.get(node.inputs[0]!) : undefined;
    return at === undefined ? [] : [[node, at] as const];
  });
  return new Map(found);
}

/**
 * Prefix tuning and P-tuning v2: trained keys and values before the self-attention's own, in every layer.
 *
 *   K → [P_K; K], V → [P_V; V], mask → [0; mask] (every query attends to the prefix); positions do not shift
 *
 * Shapes: table [tokens, layers·2·hidden], PEFT's order: block 2l is layer l's key, 2l+1 its value, head-major.
 * A graph that decodes with a cache stays as it is: its cache starts with the prefix (see `serve`).
 * Source: Li and Liang 2021 (arXiv:2101.00190); Liu et al. 2022 (arXiv:2110.07602) without the projection.
 *
 * @throws {RewriteError} when the module has a prefix already.
 */
function insert(graph: Graph, settings: PrefixSettings, mode: GraphMode): Graph {
  const { embedding, module } = prefixNames(settings.sites);
  if (graph.parameters.some((p) => p.name === embedding))
    throw new RewriteError('the module has a prefix already', module, 'give it one method');
  const found = cuts(graph, settings.sites);
  if (found.size === 0 || graph.inputs.some((v) => v.name === 'past_key.0')) return graph;
  const serving = mode === 'serving';
  const grown = new Map<Dim, Dim>();
  return rewriteNodes(graph, (node, { g, original }) => {
    const at = found.get(original);
    if (at !== undefined) {
      const own = g.copy(node, node.inputs)[0]!;
      const [, keys, heads, headDim] = own.shape as readonly [Dim, Dim, number, number];
      const values = table(g, settings, serving);
      grown.set(sum([values.shape[0]!, keys]), keys);
      return [prepend(g, own, blocksOf(g, values, settings.layers, [heads, headDim])[at]!)];
    }
    if (node.op !== 'Add' && node.op !== 'Mul') return undefined;
    const [a, b] = node.inputs as readonly [Value, Value];
    const keys = grown.get(a.shape.at(-1) ?? 1);
    if (keys === undefined || b.shape.at(-1) !== keys) return undefined;
    return [g.op(node.op, [a, widenMask(g, b, zeroRow(g, settings, serving))], {})];
  });
}

/** The projected table of trained tensors. */
export function projectTable(
  tensors: AdapterTensors,
  { method, sites, layers, hidden }: PrefixSettings,
): AdapterTensor {
  const names = prefixNames(sites);
  const embedding = tensorOf(tensors, names.embedding);
  if (method === 'ptv2') return embedding;
  const tokens = embedding.shape[0]!;
  const layer = (x: AdapterTensor, at: { weight: string; bias: string }, out: number): AdapterTensor => {
    const [weight, bias] = [tensorOf(tensors, at.weight).data, tensorOf(tensors, at.bias).data];
    const data = new Float32Array(tokens * out);
    for (let t = 0; t < tokens; t++) {
      for (let o = 0; o < out; o++) {
        let total = bias[o]!;
        for (let i = 0; i < hidden; i++) total += x.data[t * hidden + i]! * weight[o * hidden + i]!;
        data[t * out + o] = total;
      }
    }
    return { shape: [tokens, out], data };
  };
  const inner = layer(embedding, names.hidden, hidden);
  return layer({ ...inner, data: inner.data.map(Math.tanh) }, names.output, 2 * layers * hidden);
}

/** The table as the first entries of a decoder's cache: `past_key.L`, `past_value.L` [1, heads, tokens, headDim]. */
function cacheEntries(table: AdapterTensor, { layers, hidden, sites }: PrefixSettings, heads: number) {
  const tokens = table.shape[0]!;
  const headDim = hidden / heads;
  const withPrefix = new Set(sites.map((site) => Number(SITE.exec(site)![2])));
  if (withPrefix.size < layers) {
    throw new RewriteError(
      'a prefix in some layers only cannot be served: the cache has one length',
      prefixNames(sites).module,
      'leave --sites out for the decoder',
    );
  }
  const entries = new Map<string, AdapterTensor>();
  for (let block = 0; block < 2 * layers; block++) {
    const data = new Float32Array(tokens * hidden);
    for (let h = 0; h < heads; h++) {
      for (let t = 0; t < tokens; t++) {
        const from = t * 2 * layers * hidden + block * hidden + h * headDim;
        data.set(table.data.subarray(from, from + headDim), (h * tokens + t) * headDim);
      }
    }
    const name = `past_${block % 2 === 0 ? 'key' : 'value'}.${block >> 1}`;
    entries.set(name, { shape: [1, heads, tokens, headDim], data });
  }
  return entries;
}

/** The encoder's table, or the decoder's cache entries, instead of the tensors that are trained. */
function serve(tensors: AdapterTensors, settings: PrefixSettings, heads: number): AdapterTensors {
  const { module, table: name } = prefixNames(settings.sites);
  const others = [...tensors].filter(([n]) => !n.startsWith(`${module}.prompt_encoder.`));
  const projected = projectTable(tensors, settings);
  const own =
    module === 'text_decoder' ? cacheEntries(projected, settings, heads) : [[name, projected] as const];
  return new Map([...others, ...own]);
}

function settingsOf(name: string, pattern: RegExp, sites: string, weights: readonly Parameter[]) {
  const digits = pattern.exec(name)?.[1];
  if (digits === undefined) return undefined;
  const tokens = Number(digits);
  if (tokens < 1) {
    const remedy = `choose at least 1, e.g. ${name.replace(/-n.*$/, '-n10')}`;
    throw new UserError(`${tokens} virtual tokens are too few`, '--variant', remedy);
  }
  const keys = weights.filter((p) => SITE.test(p.name));
  if (keys.length === 0) {
    throw new RewriteError(
      `${name} goes before the keys of a text module's self-attention, and there is none`,
      weights[0]?.name.split('.')[0] ?? '--placement',
      'choose F, T, lora-rN or ia3 for this module',
    );
  }
  const chosen = chooseSites(keys, sites, sitePresets);
  return { tokens, layers: keys.length, hidden: keys[0]!.shape[0] as number, sites: chosen };
}

/** With the two-layer tanh projection while training. */
export const prefix: AdapterMethod<z.infer<typeof prefixSchema>> = {
  usage: 'prefix-nN (e.g. prefix-n10: 10 virtual tokens)',
  schema: prefixSchema,
  sitePresets,
  parse(name, { sites = 'paper' }, weights) {
    const found = settingsOf(name, /^prefix-n(-?\d+)$/, sites, weights);
    return found && { method: 'prefix', ...found };
  },
  insert,
  serve,
};

/** P-tuning v2: the table itself is trained. */
export const ptuningV2: AdapterMethod<z.infer<typeof ptuningSchema>> = {
  usage: 'ptv2-nN',
  schema: ptuningSchema,
  sitePresets,
  parse(name, { sites = 'paper' }, weights) {
    const found = settingsOf(name, /^ptv2-n(-?\d+)$/, sites, weights);
    return found && { method: 'ptv2', ...found };
  },
  insert,
  serve,
};
