/** @file A variant: which method goes where, and what it does to a graph. */
import type { Graph } from '../ir/types.js';
import { type ModuleName, moduleNames, moduleOf } from '../models/config.js';
import { type DropoutRates, REFERENCE_DROPOUT } from '../models/miss.js';
import type { AdapterTensors, GraphMode } from '../rewrites/adapter-method.js';
import { setTrainable } from '../rewrites/freeze.js';
import { type AnyAdapter, methodOf } from '../rewrites/methods.js';
import type { ModuleMode, Placement } from './placement.js';

/** What happens to one module. */
export type ModuleTuning = { readonly method: 'frozen' } | { readonly method: 'full' } | AnyAdapter;

export interface Variant {
  /** as on the command line, e.g. 'lora-r8' */
  readonly name: string;
  readonly modules: Readonly<Record<ModuleName, ModuleTuning>>;
}

const modeOf = ({ method }: ModuleTuning): ModuleMode =>
  method === 'frozen' ? 'F' : method === 'full' ? 'T' : 'P';

export const placementOf = ({ modules }: Variant): Placement =>
  Object.fromEntries(moduleNames.map((m) => [m, modeOf(modules[m])])) as Placement;

/** The settings of the modules that have an adapter. */
export const adaptersOf = ({ modules }: Variant): AnyAdapter[] =>
  moduleNames.flatMap((m) => {
    const tuning = modules[m];
    return tuning.method === 'frozen' || tuning.method === 'full' ? [] : [tuning];
  });

/**
 * Dropout of the modules while training: the reference's rate where a module is not frozen. The reference leaves
 * frozen modules in training mode: `frozenToo` does so.
 */
export function dropoutRates(variant: Variant, rate = REFERENCE_DROPOUT, frozenToo = false): DropoutRates {
  const noisy = moduleNames.filter((m) => frozenToo || variant.modules[m].method !== 'frozen');
  return Object.fromEntries(noisy.map((m) => [m, rate]));
}

/**
 * Applies a variant to a finished graph: adapters go in, T modules and adapters become trainable.
 *
 * @throws {RewriteError} when an adapter does not fit its site.
 */
export function applyVariant(graph: Graph, variant: Variant, mode: GraphMode): Graph {
  const trained = setTrainable(graph, (p) => variant.modules[moduleOf(p.name)].method === 'full');
  return adaptersOf(variant).reduce((g, settings) => methodOf(settings).insert(g, settings, mode), trained);
}

/** Trained tensors as the serving graphs take them. */
export const servedTensors = (tensors: AdapterTensors, variant: Variant, heads: number): AdapterTensors =>
  adaptersOf(variant).reduce((t, settings) => methodOf(settings).serve(t, settings, heads), tensors);

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
