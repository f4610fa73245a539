/** @file A trained run as plain base weights: adapters folded in, no extra node left. */
import { join } from 'node:path';
import { FileError, UserError } from '../../graph-builder/errors.js';
import { moduleOf } from '../../graph-builder/models/config.js';
import { lossGraph } from '../../graph-builder/models/miss.js';
import type { AdapterTensor } from '../../graph-builder/rewrites/adapter-method.js';
import { methodOf } from '../../graph-builder/rewrites/methods.js';
import { adaptersOf, type Variant } from '../../graph-builder/variant/variant.js';
import { type CheckpointName, trainedValues } from '../checkpoint/checkpoint.js';
import { toHalf } from '../weights/half.js';
import {
  type LazyTensor,
  type SafetensorsFile,
  withSafetensors,
  writeSafetensors,
} from '../weights/safetensors-file.js';
import { OWN_WEIGHTS } from './base-weights.js';
import { emitPlan } from './emit.js';
import { type Manifest, readManifest, weightsPath } from './manifest.js';
import { storedTypes } from './model-bytes.js';
import { planOf } from './plan.js';

const frozen: Variant = {
  name: 'merged',
  modules: {
    visual_encoder: { method: 'frozen' },
    text_encoder: { method: 'frozen' },
    text_decoder: { method: 'frozen' },
  },
};

/** @throws {UserError} for a method that the base weights cannot take up. */
function checkMergeable(variant: Variant, run: string): void {
  for (const settings of adaptersOf(variant)) {
    if (methodOf(settings).merge) continue;
    throw new UserError(
      `${settings.method} cannot be merged: it adds keys and values, which no weight can hold`,
      `${run}, ${moduleOf(settings.sites[0]!)}`,
      'keep the adapter: it is served as it is',
    );
  }
}

/** How merged weights may be stored. */
export const mergePrecisions = ['float32', 'float16'] as const;
export type MergePrecision = (typeof mergePrecisions)[number];

export interface MergeOptions {
  /** default: the best, else the last, else the untrained base */
  readonly checkpoint?: CheckpointName | 'base' | 'auto';
  /** float16: of matrices, kernels and tables; vectors stay float32. Default: float32 */
  readonly precision?: MergePrecision;
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array | Uint16Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** @throws {FileError} when a number is beyond float16's range. */
function halfBytes(name: string, values: Float32Array, run: string): Uint8Array {
  const half = toHalf(values);
  const beyond = half.findIndex((h) => (h & 0x7fff) === 0x7c00);
  if (beyond < 0) return bytesOf(half);
  throw new FileError(
    `${values[beyond]} is beyond float16's range`,
    `${run}, ${name}`,
    'choose --precision float32',
  );
}

/** Matrices, kernels and tables as float16; vectors stay as they are. */
function halved(tensors: ReadonlyMap<string, LazyTensor>, run: string): Map<string, LazyTensor> {
  const half = (name: string, { shape, bytes }: LazyTensor): LazyTensor => ({
    dtype: 'F16',
    shape,
    bytes: () => halfBytes(name, new Float32Array(bytes().slice().buffer), run),
  });
  return new Map(
    [...tensors].map(([name, tensor]) => [name, tensor.shape.length > 1 ? half(name, tensor) : tensor]),
  );
}

/** The merged value of a base tensor, made when its turn comes. */
function mergedTensor(
  name: string,
  file: SafetensorsFile,
  trained: ReadonlyMap<string, AdapterTensor>,
  siteOf: ReadonlyMap<string, Parameters<typeof methodOf>[0] & { readonly method: string }>,
): AdapterTensor {
  const read = (n: string): AdapterTensor => ({ shape: file.entry(n).shape, data: file.float32(n) });
  const whole = trained.get(name);
  if (whole) return whole;
  const site = name.replace(/bias$/, 'weight');
  const settings = siteOf.get(site);
  if (!settings) return read(name);
  const biasName = site.replace(/weight$/, 'bias');
  const bias = file.header.tensors.has(biasName) ? read(biasName) : undefined;
  const layer = methodOf(settings).merge!({ weight: read(site), bias }, site, trained, settings as never);
  return name === site ? layer.weight : layer.bias!;
}

/**
 * Reads the base weights of a run with its trained modules and merged adapters: W + s·B·A, scaled rows and columns,
 * and the weights of T modules, float32, each made when it is asked for.
 *
 * @throws {UserError} when a method cannot be merged; {FileError} for a missing or damaged run.
 */
export function withMergedWeights<T>(
  run: string,
  manifest: Manifest,
  checkpoint: CheckpointName | 'base' | 'auto',
  use: (tensors: ReadonlyMap<string, LazyTensor>) => T,
): T {
  checkMergeable(manifest.variant, run);
  const values = [...trainedValues(run, manifest, checkpoint)];
  const trained = new Map(values.map(([name, { shape, value }]) => [name, { shape, data: value }]));
  const siteOf = new Map(
    adaptersOf(manifest.variant).flatMap((s) => s.sites.map((site) => [site, s] as const)),
  );
  return withSafetensors(weightsPath(run, manifest), (file) => {
    const tensors = lossGraph(manifest.config).parameters.map(({ name, shape }): [string, LazyTensor] => [
      name,
      {
        dtype: 'F32',
        shape: shape as readonly number[],
        bytes: () => bytesOf(mergedTensor(name, file, trained, siteOf).data),
      },
    ]);
    return use(new Map(tensors));
  });
}

/**
 * Writes a run without adapters that answers like `run` does: `model.safetensors` holds its merged weights. Any
 * program that reads the reference's names can use the file.
 * In float16 the file is half as large and graphs cast where they read: see `halfWeights`.
 *
 * @throws {UserError} when a method cannot be merged; {FileError} for a missing or damaged run.
 */
export function mergeRun(
  run: string,
  target: string,
  { checkpoint = 'auto', precision = 'float32' }: MergeOptions = {},
): Manifest {
  const manifest = readManifest(run);
  const plan = planOf(manifest.preset, manifest.config, () => frozen);
  const { image, text, seed } = manifest;
  const options = { preset: manifest.preset, maxQuestionTokens: text.maxQuestionTokens, seed };
  return emitPlan(plan, options, target, (folder) => {
    const path = join(folder, OWN_WEIGHTS);
    withMergedWeights(run, manifest, checkpoint, (tensors) => {
      const stored = precision === 'float16' ? halved(tensors, run) : tensors;
      writeSafetensors(path, stored, { format: 'pt' });
    });
    const source = `merged ${run}${precision === 'float32' ? '' : ` ${precision}`}`;
    return { path, source, normalisation: image.normalisation, types: storedTypes };
  });
}
