/** @file Works a variant out before anything is written. */
import { UserError } from '../../graph-builder/errors.js';
import type { Graph } from '../../graph-builder/ir/types.js';
import { checkConfig, type MissConfig, presetConfig } from '../../graph-builder/models/config.js';
import { lossGraph } from '../../graph-builder/models/miss.js';
import type { Precision } from '../../graph-builder/rewrites/half-precision.js';
import type { RecomputeMode } from '../../graph-builder/rewrites/recompute.js';
import { parseVariant, type VariantOptions } from '../../graph-builder/variant/parse.js';
import {
  applyVariant,
  countParameters,
  type ParameterCounts,
  type Variant,
} from '../../graph-builder/variant/variant.js';
import type { FrozenCompute } from './frozen-compute.js';
import type { Manifest } from './manifest.js';

/** Where questions are cut unless told otherwise; of the reference. */
export const MAX_QUESTION_TOKENS = 35;

export interface BuildOptions extends VariantOptions {
  readonly preset: string;
  /** sizes that differ from the preset's */
  readonly sizes?: Partial<MissConfig>;
  /** may be left out where each module has a tuning of its own */
  readonly variant?: string;
  /** 'pretrained', 'random' or a float32 .safetensors file with the reference's names; default: pretrained if one ships */
  readonly weights?: string;
  readonly normalisation?: Manifest['image']['normalisation'];
  readonly maxQuestionTokens?: number;
  /** draws random weights and the adapters' initial values */
  readonly seed?: number;
  /** dropout of modules that are not frozen; default: the reference's 0.1 */
  readonly moduleDropout?: number;
  /** dropout and drop path in frozen modules, too, as the reference leaves them in training mode */
  readonly referenceDropout?: boolean;
  /** what the backward pass rebuilds instead of keeping; default: attention where images have many tokens */
  readonly recompute?: RecomputeMode;
  /** of the matrix products while training; 16 bits are for GPUs */
  readonly precision?: Precision;
  /** 8-bit products with frozen weights; default: float32 */
  readonly frozenCompute?: FrozenCompute;
  /** ort-training: also the official artifacts of ONNX Runtime's training API */
  readonly target?: 'inference' | 'ort-training';
  /** copies the weights beside the graphs */
  readonly selfContained?: boolean;
}

/** What a variant is, before anything is written. */
export interface Plan {
  readonly preset: string;
  readonly config: MissConfig;
  readonly variant: Variant;
  readonly parameters: ParameterCounts;
  readonly base: Graph;
  readonly adapted: Graph;
}

/** @throws {UserError} for a number that a graph or manifest cannot hold. */
function checkOptions(
  { alpha, moduleDropout, maxQuestionTokens, seed, frozenCompute, precision = 'float32' }: BuildOptions,
  config: MissConfig,
): void {
  if (frozenCompute && precision !== 'float32') {
    const remedy = 'leave out one of the two';
    throw new UserError('8-bit products need float32 around them', `--precision ${precision}`, remedy);
  }
  const check = (value: number | undefined, fits: (n: number) => boolean, flag: string, remedy: string) => {
    if (value !== undefined && !fits(value)) throw new UserError(`${value} does not fit`, flag, remedy);
  };
  const { maxPositions } = config;
  check(alpha, (n) => Number.isFinite(n) && n > 0, '--alpha', 'give a positive number, e.g. 32');
  check(
    moduleDropout,
    (n) => n >= 0 && n < 1,
    '--module-dropout',
    'give a number from 0 to below 1, e.g. 0.1',
  );
  check(seed, Number.isSafeInteger, '--seed', 'give a whole number, e.g. 0');
  check(
    maxQuestionTokens,
    (n) => Number.isInteger(n) && n >= 3 && n <= maxPositions,
    '--max-question-tokens',
    `give a whole number from 3 to ${maxPositions}`,
  );
}

/** The plan of a variant that is known already. */
export function planOf(preset: string, config: MissConfig, variantFor: (base: Graph) => Variant): Plan {
  const base = lossGraph(config);
  const variant = variantFor(base);
  const adapted = applyVariant(base, variant, 'evaluation');
  return { preset, config, variant, parameters: countParameters(adapted), base, adapted };
}

/** Works a variant out: seconds, and no file is touched. @throws {UserError} for options that do not fit. */
export function planVariant(options: BuildOptions): Plan {
  const config = checkConfig({ ...presetConfig(options.preset), ...options.sizes });
  checkOptions(options, config);
  return planOf(options.preset, config, (base) => parseVariant(options.variant, base.parameters, options));
}
