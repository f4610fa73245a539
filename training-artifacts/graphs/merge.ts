/** @file A trained run as plain base weights: adapters folded in, no extra node left. */
import { join } from 'node:path';
import { UserError } from '../../graph-builder/errors.js';
import { moduleOf } from '../../graph-builder/models/config.js';
import { lossGraph } from '../../graph-builder/models/miss.js';
import type { AdapterTensor } from '../../graph-builder/rewrites/adapter-method.js';
import { methodOf } from '../../graph-builder/rewrites/methods.js';
import { adaptersOf, type Variant } from '../../graph-builder/variant/variant.js';
import { type CheckpointName, trainedValues } from '../checkpoint/checkpoint.js';
import {
  type LazyTensor,
  type SafetensorsFile,
  withSafetensors,
  writeSafetensors,
} from '../weights/safetensors-file.js';
import { OWN_WEIGHTS } from './base-weights.js';
import { emitPlan } from './emit.js';
import { type Manifest, readManifest, weightsPath } from './manifest.js';
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

const floatsOf = (bytes: Float32Array): Uint8Array =>
  new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);

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
  checkpoint: CheckpointName | 'auto',
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
        bytes: () => floatsOf(mergedTensor(name, file, trained, siteOf).data),
      },
    ]);
    return use(new Map(tensors));
  });
}

/**
 * Writes a run without adapters that answers like `run` does: `model.safetensors` holds its merged weights. Any
 * program that reads the reference's names can use the file.
 *
 * @throws {UserError} when a method cannot be merged; {FileError} for a missing or damaged run.
 */
export function mergeRun(
  run: string,
  target: string,
  checkpoint: CheckpointName | 'auto' = 'auto',
): Manifest {
  const manifest = readManifest(run);
  const plan = planOf(manifest.preset, manifest.config, () => frozen);
  const { image, text, seed } = manifest;
  const options = { preset: manifest.preset, maxQuestionTokens: text.maxQuestionTokens, seed };
  return emitPlan(plan, options, target, (folder) => {
    const path = join(folder, OWN_WEIGHTS);
    withMergedWeights(run, manifest, checkpoint, (tensors) =>
      writeSafetensors(path, tensors, { format: 'pt' }),
    );
    return { path, source: `merged ${run}`, normalisation: image.normalisation };
  });
}
