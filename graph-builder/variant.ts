/** @file A variant: which method, where, and what it does to a graph. */
import { RewriteError, UserError } from './errors.js';
import type { Graph, Parameter } from './ir/types.js';
import { type ModuleName, moduleNames, moduleOf } from './models/config.js';
import { type DropoutRates, REFERENCE_DROPOUT } from './models/miss.js';
import { setTrainable } from './rewrites/freeze.js';
import { globToRegExp } from './rewrites/glob.js';
import { lora } from './rewrites/lora.js';

/** F: frozen, T: all parameters trained, P: adapted by the method. */
export type ModuleMode = 'F' | 'T' | 'P';
export type Placement = Readonly<Record<ModuleName, ModuleMode>>;

export interface LoraMethod {
  readonly method: 'lora';
  readonly rank: number;
  readonly alpha: number;
  readonly dropout: number;
  /** weights that get an adapter, by full name */
  readonly sites: readonly string[];
}

export interface FullMethod {
  readonly method: 'full';
}

export interface Variant {
  /** as on the command line, e.g. 'lora-r8' */
  readonly name: string;
  readonly placement: Placement;
  readonly tuning: LoraMethod | FullMethod;
}

/** The paper's settings. Source: appendix and code of the paper. */
const LORA_ALPHA = 32;
const LORA_DROPOUT = 0.1;

/**
 * Sites of LoRA by preset. Source: `paper` is what the counts of Tables 1 and 7 prove: query and key in the
 * text modules, every product of the ViT; `peft` is PEFT's default, query and value.
 */
export const sitePresets = {
  paper: [
    'text_{encoder,decoder}.**self.{query,key}.weight',
    'visual_encoder.blocks.*.attn.{qkv,proj}.weight',
    'visual_encoder.blocks.*.mlp.{fc1,fc2}.weight',
    'visual_encoder.patch_embed.proj.weight',
  ],
  peft: [
    'text_{encoder,decoder}.**self.{query,value}.weight',
    'visual_encoder.blocks.*.attn.{qkv,proj}.weight',
    'visual_encoder.blocks.*.mlp.{fc1,fc2}.weight',
    'visual_encoder.patch_embed.proj.weight',
  ],
  'all-linear': [
    'text_{encoder,decoder}.**self.{query,key,value}.weight',
    'text_{encoder,decoder}.**.dense.weight',
    'visual_encoder.blocks.*.attn.{qkv,proj}.weight',
    'visual_encoder.blocks.*.mlp.{fc1,fc2}.weight',
    'visual_encoder.patch_embed.proj.weight',
  ],
} as const;

/**
 * The default of `build-graph --variant lora-*`: see the README's table of what F/P/P and T/T/P cost and give
 * on the bundled data.
 */
export const DEFAULT_PLACEMENT = 'T/T/P';

/** @throws {UserError} unless `text` is three of F, T, P such as 'T/T/P'. */
export function parsePlacement(text: string): Placement {
  const modes = text.toUpperCase().split('/');
  if (modes.length !== 3 || !modes.every((m) => m === 'F' || m === 'T' || m === 'P')) {
    throw new UserError(
      `placement '${text}' is not three of F, T and P`,
      '--placement',
      'write image encoder/JTM encoder/decoder, e.g. F/P/P (F frozen, T trained, P adapted)',
    );
  }
  return Object.fromEntries(moduleNames.map((name, i) => [name, modes[i]])) as Placement;
}

export const formatPlacement = (placement: Placement): string =>
  moduleNames.map((m) => placement[m]).join('/');

/** Weights that a linear-layer adapter may go to: matrices and kernels, not tables. */
const isLinearWeight = (p: Parameter): boolean =>
  p.shape.length >= 2 && p.name.endsWith('.weight') && !p.name.includes('embeddings.');

function loraSites(parameters: readonly Parameter[], placement: Placement, sites: string): string[] {
  const globs = Object.hasOwn(sitePresets, sites)
    ? sitePresets[sites as keyof typeof sitePresets]
    : sites.split(',');
  const patterns = globs.map((glob) => globToRegExp(glob.trim()));
  const candidates = parameters.filter((p) => isLinearWeight(p) && placement[moduleOf(p.name)] === 'P');
  const matched = candidates.filter((p) => patterns.some((r) => r.test(p.name))).map((p) => p.name);
  if (matched.length === 0) {
    const near = [...new Set(candidates.map((p) => p.name.replace(/\.\d+\./g, '.*.')))].slice(0, 6);
    throw new RewriteError(
      `the pattern '${sites}' matches no linear layer of an adapted module`,
      '--sites',
      `choose from ${near.join(', ') || 'a placement with a P'}, …`,
    );
  }
  return matched;
}

export interface VariantOptions {
  readonly placement?: string;
  /** preset of sites or comma-separated globs */
  readonly sites?: string;
  readonly alpha?: number;
  readonly dropout?: number;
}

const unknownVariant = (name: string): UserError =>
  new UserError(
    `unknown variant '${name}'`,
    '--variant',
    'choose lora-rN (e.g. lora-r8: LoRA of rank 8) or full',
  );

/**
 * Reads a variant's name against the parameters of the forward graph.
 *
 * @example parseVariant('lora-r8', graph.parameters, { placement: 'F/P/P' })
 * @throws {UserError} for an unknown name, a bad placement, a rank below 1 or sites that match nothing.
 */
export function parseVariant(
  name: string,
  parameters: readonly Parameter[],
  options: VariantOptions = {},
): Variant {
  if (name === 'full') {
    if (options.placement && options.placement.toUpperCase() !== 'T/T/T') {
      throw new UserError(
        `full means T/T/T, not ${options.placement}`,
        '--placement',
        'leave --placement out, or choose lora-rN',
      );
    }
    return { name, placement: parsePlacement('T/T/T'), tuning: { method: 'full' } };
  }
  const rank = Number(/^lora-r(-?\d+)$/.exec(name)?.[1] ?? Number.NaN);
  if (Number.isNaN(rank)) throw unknownVariant(name);
  if (rank < 1)
    throw new UserError(`rank ${rank} is below 1`, '--variant', 'choose a rank of at least 1, e.g. lora-r8');
  const placement = parsePlacement(options.placement ?? DEFAULT_PLACEMENT);
  const sites = loraSites(parameters, placement, options.sites ?? 'paper');
  const { alpha = LORA_ALPHA, dropout = LORA_DROPOUT } = options;
  if (!(dropout >= 0 && dropout < 1))
    throw new UserError(`dropout ${dropout} is not in [0, 1)`, '--lora-dropout', 'choose e.g. 0.1');
  return { name, placement, tuning: { method: 'lora', rank, alpha, dropout, sites } };
}

export type GraphMode =
  /** adapters at their rank and scaling, dropout on */
  | 'training'
  /** the same without dropout */
  | 'evaluation'
  /** symbolic rank, alpha/rank folded into B: serves every adapter on the same sites */
  | 'serving';

/** Dropout of the modules while training: the reference's rate where a module is not frozen. */
export function dropoutRates({ placement }: Variant, rate = REFERENCE_DROPOUT): DropoutRates {
  return Object.fromEntries(moduleNames.filter((m) => placement[m] !== 'F').map((m) => [m, rate]));
}

/**
 * Applies a variant to a finished graph: adapters go in, T modules and adapters become trainable.
 *
 * @throws {RewriteError} when an adapter does not fit its site.
 */
export function applyVariant(
  graph: Graph,
  { placement, tuning }: Variant,
  mode: GraphMode,
  adapterDropout = true,
): Graph {
  const trained = setTrainable(graph, (p) => placement[moduleOf(p.name)] === 'T');
  if (tuning.method === 'full') return trained;
  const { rank, alpha, dropout, sites } = tuning;
  const serving = mode === 'serving';
  return lora(trained, {
    sites: new Set(sites),
    rank: serving ? 'rank' : rank,
    scaling: serving ? 1 : alpha / rank,
    dropoutRate: mode === 'training' && adapterDropout ? dropout : 0,
  });
}

export interface ParameterCounts {
  readonly trainable: number;
  readonly total: number;
  /** trainable / total, percent */
  readonly percent: number;
  readonly modules: Readonly<Record<ModuleName, { readonly trainable: number; readonly total: number }>>;
}

/** Numbers in the parameters of a graph, by module. */
export function countParameters({ parameters }: Graph): ParameterCounts {
  const modules = Object.fromEntries(moduleNames.map((m) => [m, { trainable: 0, total: 0 }]));
  for (const { name, shape, trainable } of parameters) {
    const size = (shape as readonly number[]).reduce((p, n) => p * n, 1);
    const counts = modules[moduleOf(name)]!;
    counts.total += size;
    if (trainable) counts.trainable += size;
  }
  const sum = (key: 'trainable' | 'total') => Object.values(modules).reduce((s, m) => s + m[key], 0);
  const [trainable, total] = [sum('trainable'), sum('total')];
  return {
    trainable,
    total,
    percent: (100 * trainable) / total,
    modules: modules as ParameterCounts['modules'],
  };
}
