/** @file `--frozen-compute` and `--int8-skip` worked out. */
import { UserError } from '../../graph-builder/errors.js';
import type { Int8Form } from '../../graph-builder/rewrites/int8-weights.js';
import {
  type FrozenCompute,
  matricesOf,
  parseFrozenCompute,
  type SkippedLayer,
  skippedByGlob,
} from '../../training-artifacts/graphs/frozen-compute.js';
import { readManifest, weightsPath } from '../../training-artifacts/graphs/manifest.js';
import { type BuildOptions, planVariant } from '../../training-artifacts/graphs/plan.js';

async function skippedLayers(options: BuildOptions, compute: FrozenCompute): Promise<SkippedLayer[]> {
  const { skip } = compute;
  if (skip === 'none') return [];
  if (skip !== 'auto') return skippedByGlob(skip, matricesOf(planVariant(options).base));
  // loads ONNX Runtime, which other commands do without
  const { layerErrors, sensitiveLayers } = await import('./calibrate-int8.js');
  return sensitiveLayers(await layerErrors(options, compute));
}

/**
 * The options with `--frozen-compute` and `--int8-skip` worked out; `auto` runs the base on a few questions.
 *
 * @throws {UserError} for words that say nothing, or globs that match no layer.
 */
export async function withFrozenCompute(
  options: BuildOptions,
  text = 'float32',
  skip?: string,
): Promise<BuildOptions> {
  const parsed = parseFrozenCompute(text);
  if (!parsed) {
    if (skip === undefined) return options;
    throw new UserError('there are no 8-bit products', '--int8-skip', 'add --frozen-compute int8');
  }
  const compute: FrozenCompute = { ...parsed, skip: skip ?? 'auto', skipped: [] };
  return { ...options, frozenCompute: { ...compute, skipped: await skippedLayers(options, compute) } };
}

/**
 * How a finished run's products go into 8 bits: as it was trained, where that is of the wanted form and nothing else is
 * asked for; else all modules, with `skip` as of `--int8-skip`.
 */
export async function frozenComputeOfRun(
  run: string,
  form?: Int8Form,
  skip?: string,
): Promise<FrozenCompute> {
  const manifest = readManifest(run);
  const own = manifest.frozenCompute;
  const wanted = form ?? own?.form ?? 'dynamic';
  if (own?.form === wanted && skip === undefined) return own;
  const base: BuildOptions = {
    preset: manifest.preset,
    sizes: manifest.config,
    variant: 'full',
    weights: weightsPath(run, manifest),
    normalisation: manifest.image.normalisation,
  };
  const text = wanted === 'dynamic' ? 'int8' : 'int8-weight-only';
  return (await withFrozenCompute(base, text, skip)).frozenCompute!;
}
