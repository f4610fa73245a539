/** @file A run as the browser reads it: manifest, graphs, weights and trained tensors. */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { createTokenizer, type VqaTokenizer } from '../../datasets/tokenizer.js';
import { FileError } from '../../graph-builder/errors.js';
import { type ModuleName, moduleNames } from '../../graph-builder/models/config.js';
import { servedTensors, type Variant } from '../../graph-builder/variant/variant.js';
import type { ModuleAdapter } from '../../training-artifacts/adapters/peft-format.js';
import {
  CONFIG,
  joinModules,
  readStoredModule,
  WEIGHTS,
} from '../../training-artifacts/adapters/peft-modules.js';
import type { GraphRole, Manifest } from '../../training-artifacts/graphs/manifest.js';
import { baseTensorOf, startValue } from '../../training-artifacts/weights/initialise.js';
import { type Feeds, float32 } from '../core/session.js';
import { type RunSource, readBytes, readJson } from './run-source.js';
import { type NamedTensor, SafetensorsBlob } from './safetensors-blob.js';

export type NamedTensors = ReadonlyMap<string, NamedTensor>;

/** Files that may hold a run's trained values, the best first. `ort-serve` makes the first of them. */
const TRAINED = ['trained.safetensors', 'checkpoint/best.safetensors', 'checkpoint/last.safetensors'];

/** @throws {FileError} when the folder is no run, or one of an imported model or another version. */
export async function readManifest(source: RunSource): Promise<Manifest> {
  const manifest = (await readJson(source, 'manifest.json')) as Partial<Manifest> | null;
  // the server and build-graph check the whole; what is needed first tells a run from other files
  if (manifest?.format === 'mile-ort run 2' && manifest.config && manifest.weights && manifest.graphs)
    return manifest as Manifest;
  throw new FileError(
    `not a run that answers questions: its format is ${String(manifest?.format)}`,
    `${source.name}/manifest.json`,
    'build it again with build-graph --variant',
  );
}

/** The base weights relative to the run; a folder of another machine is none that a server could give. */
export const weightsFile = ({ weights: { file, folder } }: Manifest): string =>
  folder.startsWith('..') ? `${folder}/${file}` : file;

export const readTokenizer = async (source: RunSource): Promise<VqaTokenizer> =>
  createTokenizer((await readJson(source, 'tokenizer.json')) as object);

/** @throws {FileError} when the run has no such graph, or it is another than the manifest says. */
export async function readGraph(source: RunSource, manifest: Manifest, role: GraphRole): Promise<Uint8Array> {
  const graph = manifest.graphs[role];
  if (!graph)
    throw new FileError(`the run has no ${role} graph`, source.name, 'build it again with build-graph');
  const bytes = await readBytes(source, graph.file);
  if (bytesToHex(sha256(bytes)) === graph.sha256) return bytes;
  throw new FileError(
    'the graph is damaged: its hash is another than the manifest says',
    `${source.name}/${graph.file}`,
    'copy the run again',
  );
}

/** Values at step 0: T modules from the base weights, adapters from the run's seed. */
export async function initialTensors(
  { trainable, seed }: Manifest,
  weights: Blob,
): Promise<Map<string, NamedTensor>> {
  const base = await SafetensorsBlob.open(weights, 'the base weights');
  const tensors = new Map<string, NamedTensor>();
  for (const tensor of trainable) {
    const from = baseTensorOf(tensor);
    const data = startValue(tensor, seed, from === undefined ? undefined : (await base.float32(from)).data);
    tensors.set(tensor.name, { shape: tensor.shape, data });
  }
  return tensors;
}

/** Trained values of a run, else its first ones. */
export async function readTrained(
  source: RunSource,
  manifest: Manifest,
  weights: Blob,
): Promise<Map<string, NamedTensor>> {
  for (const name of TRAINED) {
    const bytes = await source.find(name);
    if (!bytes) continue;
    const file = await SafetensorsBlob.open(new Blob([bytes]), `${source.name}/${name}`);
    const tensors = new Map<string, NamedTensor>();
    for (const { name: key } of manifest.trainable) tensors.set(key, await file.float32(key));
    checkTensors(tensors, manifest, file.name);
    return tensors;
  }
  return initialTensors(manifest, weights);
}

/** An adapter folder in PEFT's format. Modules without files are frozen. */
export async function readAdapter(
  source: RunSource,
): Promise<{ modules: Variant['modules']; tensors: NamedTensors }> {
  const read = new Map<ModuleName, ModuleAdapter>();
  for (const module of moduleNames) {
    const [configFile, weightsFile] = [`${module}/${CONFIG}`, `${module}/${WEIGHTS}`];
    const bytes = await source.find(weightsFile);
    if (!bytes) continue;
    const file = await SafetensorsBlob.open(new Blob([bytes]), `${source.name}/${weightsFile}`);
    const config = await readJson(source, configFile);
    const stored = await file.all();
    read.set(module, readStoredModule({ module, config, configFile, stored, weightsFile }));
  }
  if (read.size > 0) return joinModules(read);
  throw new FileError(
    'no adapter here',
    source.name,
    `choose a folder that holds ${moduleNames.join('/, ')}/ with ${CONFIG}`,
  );
}

/** Ranks are free in the serving graphs: all axes but a lora_'s rank must agree. */
function sameShape(name: string, a: readonly number[], b: readonly number[]): boolean {
  const free = /\.lora_A\.weight$/.test(name) ? 0 : /\.lora_B\.weight$/.test(name) ? 1 : -1;
  return a.length === b.length && a.every((n, axis) => axis === free || n === b[axis]);
}

/** @throws {FileError} unless the tensors are those that the run's graphs take. */
export function checkTensors(tensors: NamedTensors, { trainable }: Manifest, file: string): void {
  const remedy = 'choose an adapter of the same method on the same sites, or open its own run';
  for (const { name, shape } of trainable) {
    const found = tensors.get(name);
    if (!found) throw new FileError(`it has no ${name}`, file, remedy);
    if (!sameShape(name, shape, found.shape))
      throw new FileError(`${name} is [${found.shape}], the run needs [${shape}]`, file, remedy);
  }
  const known = new Set(trainable.map(({ name }) => name));
  const foreign = [...tensors.keys()].find((name) => !known.has(name));
  if (foreign) throw new FileError(`the run has no ${foreign}`, file, remedy);
}

/** Trained tensors as the serving graphs take them, e.g. with alpha/rank folded into lora_B. */
export function servingFeeds(tensors: NamedTensors, variant: Variant, textHeads: number): Feeds {
  const served = servedTensors(tensors, variant, textHeads);
  return Object.fromEntries([...served].map(([name, { shape, data }]) => [name, float32(data, shape)]));
}
