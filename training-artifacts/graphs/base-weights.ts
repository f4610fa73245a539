/** @file The base weights of a run: where they come from, and whether they fit. */
import { basename, join, resolve } from 'node:path';
import { normalisationNames } from '../../datasets/images/normalise.js';
import { FileError } from '../../graph-builder/errors.js';
import type { Graph, Parameter } from '../../graph-builder/ir/types.js';
import type { MissConfig } from '../../graph-builder/models/config.js';
import { initialValues } from '../weights/initialise.js';
import { expandPretrained, hasPretrained, pretrainedRecord } from '../weights/pretrained.js';
import {
  float32Tensor,
  type LazyTensor,
  withSafetensors,
  writeSafetensors,
} from '../weights/safetensors-file.js';
import type { Manifest } from './manifest.js';
import type { StoredType, StoredWeight } from './model-bytes.js';
import type { BuildOptions, Plan } from './plan.js';

export interface BaseWeights {
  readonly path: string;
  readonly source: string;
  readonly normalisation: Manifest['image']['normalisation'];
  /** types that the file may hold; default: float32 alone */
  readonly types?: readonly StoredType[];
}

/** The file of a run's own weights. */
export const OWN_WEIGHTS = 'model.safetensors';

/** Initial values of all base parameters, one tensor at a time. */
function randomWeights(path: string, base: Graph, seed: number): void {
  const tensors = base.parameters.map((p): [string, LazyTensor] => [
    p.name,
    {
      dtype: 'F32',
      shape: p.shape as readonly number[],
      bytes: () => float32Tensor([], initialValues(p, seed)).bytes(),
    },
  ]);
  writeSafetensors(path, new Map(tensors));
}

/**
 * The normalisation that `ort-weights import` recorded in a file.
 *
 * @throws {FileError} when it was made for another number of heads, which no shape shows.
 */
function statedNormalisation(path: string, config: MissConfig): BaseWeights['normalisation'] | undefined {
  const { metadata } = withSafetensors(path, ({ header }) => header);
  for (const [heads, flag] of [
    ['visionHeads', '--vision-heads'],
    ['textHeads', '--text-heads'],
  ] as const) {
    const stated = new RegExp(`"${heads}":(\\d+)`).exec(metadata.config ?? '')?.[1];
    if (stated === undefined || Number(stated) === config[heads]) continue;
    const what = `the weights were imported for ${stated} attention heads, the model has ${config[heads]}`;
    throw new FileError(what, path, `add ${flag} ${stated}`);
  }
  return normalisationNames.find((name) => name === metadata.normalisation);
}

/** Finds the weights that the options name; random ones are written into `folder`. */
export function baseWeights(folder: string, plan: Plan, options: BuildOptions): BaseWeights {
  const { preset, base } = plan;
  const { weights = hasPretrained(preset) && !options.sizes ? 'pretrained' : 'random', seed = 0 } = options;
  const normalisation = options.normalisation ?? 'imagenet';
  if (weights === 'random') {
    const path = join(folder, OWN_WEIGHTS);
    randomWeights(path, base, seed);
    return { path, source: `random seed ${seed}`, normalisation };
  }
  if (weights === 'pretrained') {
    const record = pretrainedRecord(preset);
    return {
      path: expandPretrained(preset),
      source: `pretrained ${preset}`,
      normalisation: record.normalisation,
    };
  }
  const stated = statedNormalisation(weights, plan.config);
  return {
    path: resolve(weights),
    source: `file ${basename(weights)}`,
    normalisation: options.normalisation ?? stated ?? normalisation,
  };
}

/**
 * Where the file holds the parameters, and in which of the types that are allowed.
 *
 * @throws {FileError} naming the first parameter that the file lacks or has in another shape or type.
 */
export function locateWeights(
  path: string,
  parameters: readonly Parameter[],
  types: readonly StoredType[] = ['F32'],
): Map<string, StoredWeight> {
  return withSafetensors(path, (file) => {
    const located = new Map<string, StoredWeight>();
    for (const { name, shape } of parameters) {
      const { offset, length, shape: stored, dtype } = file.entry(name);
      const type = types.find((t) => t === dtype);
      if (!type || stored.join() !== shape.join()) {
        throw new FileError(
          `${name} is ${dtype} [${stored}], the model needs ${types.join(' or ')} [${shape}]`,
          path,
          'give weights of this preset in float32: `ort-weights import` writes them',
        );
      }
      located.set(name, { location: basename(path), offset, length, dtype: type });
    }
    return located;
  });
}
