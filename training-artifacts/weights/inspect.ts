/** @file What a file or folder of weights holds: weights of any program, adapters, runs, checkpoints, ONNX models. */
import { existsSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { FileError } from '../../graph-builder/errors.js';
import { moduleNames } from '../../graph-builder/models/config.js';
import { describeOnnx, type OnnxTensor } from '../../graph-builder/onnx/describe.js';
import { listCheckpoints } from '../checkpoint/checkpoint-files.js';
import { asFileError, readFile } from '../files.js';
import { isImported, readAnyManifest } from '../graphs/manifest.js';
import { readSmallJson, withWeights } from './formats/open-source.js';
import { countOf, type TensorSource } from './formats/source.js';
import { detectLayout } from './layouts/detect.js';

export interface InspectedTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly (number | string)[];
}

export interface Inspection {
  readonly path: string;
  /** e.g. 'safetensors', 'PEFT adapter', 'run folder' */
  readonly kind: string;
  /** what else is known, in the order to be shown */
  readonly facts: Readonly<Record<string, unknown>>;
  readonly tensors: readonly InspectedTensor[];
  /** tensors and numbers by the first part of the name */
  readonly modules: Readonly<Record<string, { tensors: number; parameters: number }>>;
}

const numbers = (shape: readonly (number | string)[]): number =>
  shape.every((n) => typeof n === 'number') ? countOf(shape as number[]) : 0;

function byModule(tensors: readonly InspectedTensor[], prefix = ''): Inspection['modules'] {
  const modules = new Map<string, { tensors: number; parameters: number }>();
  for (const { name, shape } of tensors) {
    const inside = name.startsWith(prefix) ? name.slice(prefix.length) : name;
    const module = inside.split('.')[0]!;
    const row = modules.get(module) ?? { tensors: 0, parameters: 0 };
    modules.set(module, { tensors: row.tensors + 1, parameters: row.parameters + numbers(shape) });
  }
  return Object.fromEntries(modules);
}

/** Weights of any program that can be imported, and files of this one. */
function inspectSource({ path, format, files, tensors, metadata }: TensorSource): Inspection {
  const list = [...tensors.values()].map(({ name, dtype, shape }) => ({ name, dtype, shape }));
  const { state, ...plain } = metadata;
  const isCheckpoint = plain.format?.startsWith('mile-ort checkpoint') ?? false;
  const detected = isCheckpoint ? undefined : detectLayout(tensors.keys());
  const facts = {
    ...(files.length > 1 && { files: files.map((file) => basename(file)) }),
    ...(detected && { layout: detected.layout.name }),
    ...(detected?.prefix && { under: detected.prefix.slice(0, -1) }),
    ...plain,
    ...(isCheckpoint && state !== undefined && stepOf(state)),
  };
  const kind = isCheckpoint ? 'checkpoint' : format;
  return { path, kind, facts, tensors: list, modules: byModule(list, detected?.prefix) };
}

/** How far the training of a checkpoint was. */
function stepOf(state: string): Record<string, unknown> {
  try {
    const { step, options } = JSON.parse(state) as { step?: unknown; options?: unknown };
    return { step, options };
  } catch {
    return { state: 'damaged' };
  }
}

/** What of PEFT's configuration says what an adapter is. */
const adapterFacts = [
  'peft_type',
  'base_model_name_or_path',
  'r',
  'lora_alpha',
  'use_dora',
  'use_rslora',
  'num_virtual_tokens',
  'target_modules',
  'feedforward_modules',
  'modules_to_save',
];

const ADAPTER_CONFIG = 'adapter_config.json';

async function inspectAdapter(path: string): Promise<Inspection> {
  const config = readSmallJson(join(path, ADAPTER_CONFIG));
  if (typeof config !== 'object' || config === null)
    throw new FileError('not the configuration of an adapter', join(path, ADAPTER_CONFIG), 'save it again');
  const given = new Map(Object.entries(config));
  const facts = adapterFacts.flatMap((key) => {
    const value = given.get(key);
    return value === undefined || value === null ? [] : [[key, value] as const];
  });
  const file = ['adapter_model.safetensors', 'adapter_model.bin'].find((name) =>
    existsSync(join(path, name)),
  );
  if (!file) throw new FileError('the adapter has no weights', path, 'put adapter_model.safetensors there');
  const inside = await withWeights(join(path, file), inspectSource);
  return { ...inside, path, kind: 'PEFT adapter', facts: Object.fromEntries(facts) };
}

/** A folder with an adapter for each module, as runs have them. */
async function inspectAdapters(path: string, modules: readonly string[]): Promise<Inspection> {
  const parts = await Promise.all(modules.map((module) => inspectAdapter(join(path, module))));
  const tensors = parts.flatMap((part, i) =>
    part.tensors.map((t) => ({ ...t, name: `${modules[i]}/${t.name}` })),
  );
  const sums = parts.map(({ tensors: list }, i) => {
    const parameters = list.reduce((n, { shape }) => n + numbers(shape), 0);
    return [modules[i]!, { tensors: list.length, parameters }] as const;
  });
  const facts = Object.fromEntries(parts.map((part, i) => [modules[i]!, part.facts]));
  return { path, kind: 'PEFT adapters, one a module', facts, tensors, modules: Object.fromEntries(sums) };
}

function inspectRun(path: string): Inspection {
  const manifest = readAnyManifest(path);
  const { weights, parameters, graphs, trainable } = manifest;
  const facts = {
    ...(isImported(manifest)
      ? { source: manifest.source.file, variant: manifest.variant }
      : {
          preset: manifest.preset,
          variant: manifest.variant.name,
          ...Object.fromEntries(moduleNames.map((m) => [m, manifest.variant.modules[m].method] as const)),
          normalisation: manifest.image.normalisation,
        }),
    weights: `${weights.file} (${weights.source})`,
    trainable: parameters.trainable,
    total: parameters.total,
    graphs: Object.values(graphs).map(({ file }) => file),
    checkpoints: listCheckpoints(path),
  };
  const tensors = trainable.map(({ name, shape }) => ({ name, dtype: 'float32', shape }));
  return { path, kind: 'run folder', facts, tensors, modules: byModule(tensors) };
}

function inspectOnnx(path: string): Inspection {
  const model = describeOnnx(readFile(path), path);
  const line = ({ name, dtype, shape }: OnnxTensor) => `${name} ${dtype} [${shape}]`;
  const external = [...new Set(model.initialisers.flatMap(({ external: file }) => file ?? []))];
  const facts = {
    producer: model.producer,
    'IR version': model.irVersion,
    opsets: model.opsets,
    inputs: model.inputs.map(line),
    outputs: model.outputs.map(line),
    operators: model.operators,
    ...(external.length > 0 && { 'external data': external }),
  };
  const tensors = model.initialisers.map(({ name, dtype, shape }) => ({ name, dtype, shape }));
  return { path, kind: 'ONNX model', facts, tensors, modules: byModule(tensors) };
}

/**
 * Looks at anything that holds weights; only headers are read (ONNX files whole).
 *
 * @throws {FileError} when it is damaged or holds none.
 */
export async function inspectWeights(path: string): Promise<Inspection> {
  let isFolder: boolean;
  try {
    isFolder = statSync(path).isDirectory();
  } catch (error) {
    throw asFileError(error, path, 'read');
  }
  if (!isFolder && path.endsWith('.onnx')) return inspectOnnx(path);
  if (!isFolder) return withWeights(path, inspectSource);
  if (existsSync(join(path, 'manifest.json'))) return inspectRun(path);
  if (existsSync(join(path, ADAPTER_CONFIG))) return inspectAdapter(path);
  const modules = moduleNames.filter((module) => existsSync(join(path, module, ADAPTER_CONFIG)));
  if (modules.length > 0) return inspectAdapters(path, modules);
  return withWeights(path, inspectSource);
}
