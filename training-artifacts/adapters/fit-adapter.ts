/** @file Whether an adapter belongs to a base, and what it makes of the base's graphs. Needs no disk. */
import { FileError, RewriteError } from '../../graph-builder/errors.js';
import type { Graph, Parameter } from '../../graph-builder/ir/types.js';
import { type MissConfig, moduleNames, moduleOf } from '../../graph-builder/models/config.js';
import { lossGraph } from '../../graph-builder/models/miss.js';
import type { AdapterTensors } from '../../graph-builder/rewrites/adapter-method.js';
import { applyVariant, type ModuleTuning, type Variant } from '../../graph-builder/variant/variant.js';
import type { Adapter } from './stored-adapter.js';

const REMEDY = 'give a run, or --preset and --weights, of the model that the adapter was trained on';

/** e.g. 'width 128, 3 text and 4 image layers' */
const sizesOf = ({ hidden, textLayers, visionLayers }: MissConfig): string =>
  `width ${hidden}, ${textLayers} text and ${visionLayers} image layers`;

/** @throws {FileError} when an adapter goes to a weight that the base lacks, or a prefix to other layers. */
function checkSites(tuning: ModuleTuning, base: Graph, config: MissConfig, where: string): void {
  if (tuning.method === 'frozen' || tuning.method === 'full') return;
  const known = new Set(base.parameters.map((p) => p.name));
  const stray = tuning.sites.find((site) => !known.has(site));
  if (stray !== undefined)
    throw new FileError(`the base has no ${stray}: it has ${sizesOf(config)}`, where, REMEDY);
  if (!('layers' in tuning)) return;
  if (tuning.layers === config.textLayers && tuning.hidden === config.hidden) return;
  throw new FileError(
    `the prefix is for ${tuning.layers} layers of width ${tuning.hidden}, the base has ${sizesOf(config)}`,
    where,
    REMEDY,
  );
}

/** The base's graph with the adapter in it. @throws {FileError} when it cannot go there. */
function adapted(base: Graph, variant: Variant, where: string): Graph {
  try {
    return applyVariant(base, variant, 'evaluation');
  } catch (error) {
    if (!(error instanceof RewriteError)) throw error;
    throw new FileError(`the adapter does not fit the base: ${error.what} (${error.where})`, where, REMEDY, {
      cause: error,
    });
  }
}

/** @throws {FileError} naming the adapter's tensor and the base's where their sizes differ. */
function checkTensors(
  wanted: readonly Parameter[],
  base: Graph,
  tensors: AdapterTensors,
  where: string,
): void {
  const known = new Map(base.parameters.map((p) => [p.name, p]));
  for (const { name, shape } of wanted) {
    const tensor = tensors.get(name);
    if (!tensor)
      throw new FileError(
        `no tensor ${name} [${shape}]`,
        where,
        'copy the whole folder, or save the adapter again',
      );
    if (tensor.shape.join() === shape.join()) continue;
    const own = known.get(name.replace(/(lora_[AB]\.weight|[^.]+)$/, 'weight'));
    const needs = own ? ` to go with the base's ${own.name} [${own.shape}]` : '';
    throw new FileError(`${name} is [${tensor.shape}], it must be [${shape}]${needs}`, where, REMEDY);
  }
  const names = new Set(wanted.map((p) => p.name));
  const stray = [...tensors.keys()].find((name) => !names.has(name));
  if (stray !== undefined) throw new FileError(`the base has no ${stray}`, where, REMEDY);
}

/**
 * The variant that an adapter makes of a base.
 *
 * @param where what errors call the adapter, e.g. its folder
 * @throws {FileError} when it was made for a model of other sizes, or tensors are missing.
 */
export function fitAdapter(
  { modules, tensors }: Pick<Adapter, 'modules' | 'tensors'>,
  config: MissConfig,
  where: string,
): Variant {
  const base = lossGraph(config);
  for (const module of moduleNames) checkSites(modules[module], base, config, where);
  const variant: Variant = { name: 'adapter', modules };
  const wanted = adapted(base, variant, where).parameters.filter((p) => p.trainable);
  for (const module of moduleNames) {
    const own = new Map([...tensors].filter(([name]) => moduleOf(name) === module));
    checkTensors(
      wanted.filter((p) => moduleOf(p.name) === module),
      base,
      own,
      where,
    );
  }
  return variant;
}
