/** @file `--frozen-compute` and `--int8-skip` worked out. */
import { UserError } from '../../graph-builder/errors.js';
import {
  type FrozenCompute,
  matricesOf,
  parseFrozenCompute,
  type SkippedLayer,
  skippedByGlob,
} from '../../training-artifacts/graphs/frozen-compute.js';
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
