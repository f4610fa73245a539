/** @file Reads the names of variants. */
import { UserError } from '../errors.js';
import type { Parameter } from '../ir/types.js';
import { type ModuleName, moduleNames, moduleOf } from '../models/config.js';
import type { AdapterMethod, AdapterOptions, AdapterSettings } from '../rewrites/adapter-method.js';
import { globToRegExp, splitGlobs } from '../rewrites/glob.js';
import { type AnyAdapter, methods } from '../rewrites/methods.js';
import { DEFAULT_PLACEMENT, parsePlacement } from './placement.js';
import type { ModuleTuning, Variant } from './variant.js';

export interface VariantOptions extends AdapterOptions {
  readonly placement?: string;
  /** F, T or a method of its own for one module */
  readonly modules?: Readonly<Partial<Record<ModuleName, string>>>;
}

/** Weights that an adapter may go to: matrices and kernels, not tables. */
export const isLinearWeight = (p: Parameter): boolean =>
  p.shape.length >= 2 && !/embeddings?\.|pos_embed|cls_token/.test(p.name);

const all = Object.values(methods) as unknown as readonly AdapterMethod<AdapterSettings>[];

/**
 * The adapter that a name such as 'lora-r8' means on some weights.
 *
 * @throws {UserError} for an unknown name, or settings that do not fit.
 */
export function parseAdapter(
  name: string,
  options: AdapterOptions,
  weights: readonly Parameter[],
  flag = '--variant',
): AnyAdapter {
  for (const method of all) {
    const settings = method.parse(name, options, weights);
    if (settings) return settings as AnyAdapter;
  }
  const usage = all.map((m) => m.usage).join(', ');
  throw new UserError(`unknown variant '${name}'`, flag, `choose ${usage} or full`);
}

/** Flags that give one module a tuning of its own. */
export const moduleFlags = {
  visual_encoder: '--vit',
  text_encoder: '--jtm',
  text_decoder: '--decoder',
} as const;

interface Wish {
  readonly tuning: string;
  readonly flag: string;
}

/** What is wished for each module: F, T, or the name of a method. */
function wishes(
  name: string | undefined,
  { placement, modules = {} }: VariantOptions,
): Record<ModuleName, Wish> {
  if (name === 'full' && placement && placement.toUpperCase() !== 'T/T/T') {
    throw new UserError(
      `full means T/T/T, not ${placement}`,
      '--placement',
      'leave --placement out, or choose lora-rN',
    );
  }
  const letters = parsePlacement(name === 'full' ? 'T/T/T' : (placement ?? DEFAULT_PLACEMENT));
  const each = moduleNames.map((m): [ModuleName, Wish] => {
    const own = modules[m];
    if (own !== undefined) return [m, { tuning: own, flag: moduleFlags[m] }];
    if (name === undefined)
      throw new UserError(
        'no variant given',
        '--variant',
        `choose one, e.g. --variant lora-r8, or add ${moduleFlags[m]}`,
      );
    return [m, { tuning: letters[m] === 'P' ? name : letters[m], flag: '--variant' }];
  });
  return Object.fromEntries(each) as Record<ModuleName, Wish>;
}

function tuningOf(
  { tuning, flag }: Wish,
  options: VariantOptions,
  weights: readonly Parameter[],
): ModuleTuning {
  if (/^f$/i.test(tuning)) return { method: 'frozen' };
  if (/^(t|full)$/i.test(tuning)) return { method: 'full' };
  if (/^p$/i.test(tuning)) {
    throw new UserError(`${flag} P does not say which method`, flag, `name it, e.g. ${flag} lora-r4`);
  }
  return parseAdapter(tuning, options, weights, flag);
}

/**
 * Reads a variant against the parameters of the forward graph.
 *
 * @example parseVariant('lora-r8', graph.parameters, { placement: 'F/P/P' })
 * @example parseVariant(undefined, graph.parameters, { modules: { visual_encoder: 'lora-r4', text_encoder: 'T', text_decoder: 'prefix-n10' } })
 * @throws {UserError} for an unknown name, a bad placement, a rank below 1, sites that match nothing.
 */
export function parseVariant(
  name: string | undefined,
  parameters: readonly Parameter[],
  options: VariantOptions = {},
): Variant {
  const wished = wishes(name, options);
  const linear = parameters.filter(isLinearWeight);
  const weightsOf = (m: ModuleName) => linear.filter((p) => moduleOf(p.name) === m);
  const adapted = moduleNames.filter((m) => !/^([ft]|full)$/i.test(wished[m].tuning));
  if (name !== undefined && name !== 'full' && adapted.length === 0) {
    parseAdapter(name, options, linear); // an unknown name is said first
    throw new UserError(
      `no module is adapted by ${name}`,
      '--placement',
      'put a P where the method goes, e.g. T/T/P',
    );
  }
  const missed = missedModules(adapted, options.sites, weightsOf);
  const each = moduleNames.map((m) => {
    const wish = missed.has(m) ? { tuning: 'F', flag: '--sites' } : wished[m];
    return [m, tuningOf(wish, options, weightsOf(m))] as const;
  });
  return { name: nameOf(name, wished), modules: Object.fromEntries(each) as Variant['modules'] };
}

/** Adapted modules in which a glob matches nothing though it matches in others: they stay frozen. */
function missedModules(
  adapted: readonly ModuleName[],
  sites: string | undefined,
  weightsOf: (m: ModuleName) => readonly Parameter[],
): ReadonlySet<ModuleName> {
  if (!sites || !/[*.{,]/.test(sites)) return new Set();
  const patterns = splitGlobs(sites).map(globToRegExp);
  const missed = adapted.filter((m) => !weightsOf(m).some((p) => patterns.some((r) => r.test(p.name))));
  return new Set(missed.length === adapted.length ? [] : missed);
}

/** The name that {@link parseVariant} gives. @throws {UserError} when no method is named. */
export const variantName = (name: string | undefined, options: VariantOptions): string =>
  nameOf(name, wishes(name, options));

/** The method's name where one is given for all modules, else what each module has. */
function nameOf(name: string | undefined, wished: Record<ModuleName, Wish>): string {
  if (moduleNames.every((m) => wished[m].flag === '--variant')) return name!;
  return moduleNames.map((m) => wished[m].tuning).join('+');
}
