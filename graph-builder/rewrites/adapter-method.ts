/** @file What an adapter method is. The registry lists them; nothing else in the code knows which exist. */
import type { z } from 'zod';
import { RewriteError } from '../errors.js';
import type { GraphBuilder } from '../ir/builder.js';
import type { Graph, Parameter } from '../ir/types.js';
import { globToRegExp, splitGlobs } from './glob.js';

export type GraphMode =
  /** adapters at their rank and scaling, dropout on */
  | 'training'
  /** the same without dropout */
  | 'evaluation'
  /** adapters in the form that needs no more than a product a site, sizes symbolic: serves any adapter */
  | 'serving';

export interface AdapterTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Values of adapters by parameter name. */
export type AdapterTensors = ReadonlyMap<string, AdapterTensor>;

/** What people choose beside the method's name. */
export interface AdapterOptions {
  /** a preset of the method, or comma-separated globs of weight names */
  readonly sites?: string;
  readonly alpha?: number;
  readonly dropout?: number;
}

/** Settings as the manifest records them; `sites` are full names of weights. */
export interface AdapterSettings {
  readonly method: string;
  readonly sites: readonly string[];
}

/** A base weight with its bias, when an adapter is folded in. */
export interface BaseLayer {
  /** [out, in…] */
  readonly weight: AdapterTensor;
  readonly bias?: AdapterTensor | undefined;
}

/** One method. `S` is what its name and options say. */
export interface AdapterMethod<S extends AdapterSettings> {
  /** how its names look, e.g. 'lora-rN' */
  readonly usage: string;
  readonly schema: z.ZodType<S>;
  readonly sitePresets: Readonly<Record<string, readonly string[]>>;
  /**
   * Settings from a name such as 'lora-r8' for weights of one module; undefined when the name is another
   * method's.
   *
   * @throws {UserError} for a number out of range, or sites that match nothing.
   */
  parse(name: string, options: AdapterOptions, weights: readonly Parameter[]): S | undefined;
  /**
   * Inserts the adapters into a finished graph, trainable. Sites that the graph does not contain are passed
   * over: inference graphs hold one module each.
   *
   * @throws {RewriteError} when an adapter does not fit a site.
   */
  insert(graph: Graph, settings: S, mode: GraphMode): Graph;
  /** Trained tensors as the serving graphs take them. `heads`: attention heads of the text modules. */
  serve(tensors: AdapterTensors, settings: S, heads: number): AdapterTensors;
  /** The layer with its adapter folded in; a method without this cannot be merged. */
  merge?(layer: BaseLayer, site: string, tensors: AdapterTensors, settings: S): BaseLayer;
}

/** `…query.weight` and 'ia3_l' → `…query.ia3_l` */
export const besideWeight = (weight: string, leaf: string): string =>
  `${weight.replace(/\.?weight$/, '')}.${leaf}`;

/** Leaves of adapters that may stand beside a weight. */
const adapterLeaves = ['lora_A.weight', 'ia3_l'];

/** @throws {RewriteError} when another adapter stands on the site already. */
export function claimSite(g: GraphBuilder, weight: string): void {
  if (!adapterLeaves.some((leaf) => g.hasParameter(besideWeight(weight, leaf)))) return;
  throw new RewriteError('the site has an adapter already', weight, 'merge it first');
}

/** The tensor of a name. */
export function tensorOf(tensors: AdapterTensors, name: string): AdapterTensor {
  const tensor = tensors.get(name);
  if (!tensor) throw new Error(`internal: no tensor ${name}`);
  return tensor;
}

/** Layer numbers taken out: names that differ in nothing else are one line of a listing. */
const family = (name: string): string => name.replace(/\.\d+\./g, '.*.');

/** How many letters of a name a pattern's plain parts have in common with it. */
function likeness(pattern: string, name: string): number {
  const parts = pattern.split(/[^A-Za-z_0-9]+/).filter((p) => p.length > 1);
  return parts.reduce((n, part) => {
    for (let length = part.length; length > 1; length--)
      if (name.includes(part.slice(0, length)) || name.includes(part.slice(-length))) return n + length;
    return n;
  }, 0);
}

/**
 * Full names of the weights that a preset or globs choose.
 *
 * @throws {RewriteError} listing near misses when nothing matches.
 */
export function chooseSites(
  weights: readonly Parameter[],
  sites: string,
  presets: Readonly<Record<string, readonly string[]>>,
): string[] {
  const matching = (globs: readonly string[]): string[] => {
    const patterns = globs.map(globToRegExp);
    return weights.filter((p) => patterns.some((r) => r.test(p.name))).map((p) => p.name);
  };
  const matched = matching(Object.hasOwn(presets, sites) ? presets[sites]! : splitGlobs(sites));
  if (matched.length > 0) return matched;
  const near = [...new Set(weights.map((p) => family(p.name)))]
    .sort((a, b) => likeness(sites, b) - likeness(sites, a))
    .slice(0, 6);
  const known = Object.keys(presets).filter((name) => matching(presets[name]!).length > 0);
  throw new RewriteError(
    `the pattern '${sites}' matches no layer that this method can adapt`,
    '--sites',
    `choose ${known.length > 0 ? `${known.join(', ')} or ` : ''}from ${near.join(', ') || 'a placement with a P'}, …`,
  );
}
