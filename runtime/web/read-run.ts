/** @file A run as the browser reads it: manifest, graphs, weights and trained tensors. */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { createTokenizer, type VqaTokenizer } from '../../datasets/tokenizer.js';
import { FileError } from '../../graph-builder/errors.js';
import { moduleNames } from '../../graph-builder/models/config.js';
import type { Variant } from '../../graph-builder/variant/variant.js';
import { adapterOf, peftFiles, type StoredFolder } from '../../training-artifacts/adapters/stored-adapter.js';
import type { GraphRole, Manifest } from '../../training-artifacts/graphs/manifest.js';
import { weightFiles } from '../../training-artifacts/graphs/weight-files.js';
import { baseTensorOf, startValue } from '../../training-artifacts/weights/initialise.js';
import { checkTensors, type NamedTensor, type NamedTensors } from '../core/trained-tensors.js';
import { type LargeFileOptions, type RunSource, readBytes, readJson } from './run-source.js';
import { SafetensorsBlob } from './safetensors-blob.js';

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

/** The weights' files by name, the base first: kept in the browser and checked against their hashes. */
export async function readWeights(
  source: RunSource,
  { weights }: Manifest,
  { onProgress, onNote }: Partial<Pick<LargeFileOptions, 'onProgress' | 'onNote'>> = {},
): Promise<Map<string, Blob>> {
  const found = new Map<string, Blob>();
  let before = 0;
  for (const { file, sha256 } of weightFiles(weights)) {
    // a folder of another machine is none that a server could give
    const path = weights.folder.startsWith('..') ? `${weights.folder}/${file}` : file;
    const already = before;
    const part = await source.large(path, {
      sha256,
      onProgress: onProgress && ((done, total) => onProgress(already + done, already + total)),
      onNote,
    });
    found.set(file, part);
    before += part.size;
  }
  return found;
}

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
  const folders: StoredFolder[] = [];
  for (const module of moduleNames) {
    const [configFile, weightsFile] = [`${module}/${peftFiles.config}`, `${module}/${peftFiles.weights}`];
    const bytes = await source.find(weightsFile);
    if (!bytes) continue;
    const file = await SafetensorsBlob.open(new Blob([bytes]), `${source.name}/${weightsFile}`);
    const config = await readJson(source, configFile);
    folders.push({ module, config, configFile, stored: await file.all(), weightsFile });
  }
  if (folders.length > 0) return adapterOf(folders);
  throw new FileError(
    'no adapter here',
    source.name,
    `choose a folder that holds ${moduleNames.join('/, ')}/ with ${peftFiles.config}`,
  );
}
