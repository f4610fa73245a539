/** @file Opens a file or folder of weights, whatever its format; what it is stands in its first bytes. */
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { FileError } from '../../../graph-builder/errors.js';
import { asFileError } from '../../files.js';
import { ByteFile } from './byte-file.js';
import { openNpz } from './npz.js';
import { openSafetensors } from './safetensors-source.js';
import { damaged, printable, type SourceTensor, type TensorSource } from './source.js';
import { openTorchLegacy } from './torch-legacy.js';
import { openTorchZip, torchFolder } from './torch-zip.js';
import { zipEntries } from './zip-entries.js';

/** What a model folder of Hugging Face holds, the safe format first. */
const modelFiles = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
];

const FORMATS = 'give a safetensors, PyTorch (.pth, .pt, .bin) or .npz file, an index.json, or their folder';

/** An index of 100,000 tensors has 10 MB. */
const MAX_INDEX = 2 ** 25;

/** Small JSON, e.g. a configuration. @throws {FileError} when it is longer than `limit` bytes or not JSON. */
export function readSmallJson(path: string, limit = MAX_INDEX): unknown {
  const file = ByteFile.open(path);
  try {
    if (file.size > limit) throw damaged(`${file.size} bytes of JSON, more than ${limit}`, path);
    return JSON.parse(new TextDecoder().decode(file.read(0, file.size)));
  } catch (error) {
    if (error instanceof SyntaxError) throw damaged(`not JSON: ${printable(error.message)}`, path, error);
    throw error;
  } finally {
    file.close();
  }
}

/** Which shard has which tensor. Shards are files beside the index: no other path is opened. */
function readIndex(path: string): Map<string, string[]> {
  const map = (readSmallJson(path) as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== 'object' || map === null || Array.isArray(map))
    throw damaged('the index has no weight_map', path);
  const shards = new Map<string, string[]>();
  for (const [name, file] of Object.entries(map)) {
    if (typeof file !== 'string' || !/^[\w][\w.-]*$/.test(file))
      throw damaged(
        `the shard of ${printable(name)} is no file beside the index: ${printable(String(file))}`,
        path,
      );
    if (file.endsWith('.json')) throw damaged('an index cannot be a shard', path);
    shards.set(file, [...(shards.get(file) ?? []), name]);
  }
  return shards;
}

async function openSharded(path: string): Promise<TensorSource> {
  const shards = readIndex(path);
  const opened: TensorSource[] = [];
  const close = () => {
    for (const source of opened) source.close();
  };
  try {
    const tensors = new Map<string, SourceTensor>();
    for (const [shard, names] of shards) {
      const source = await openFile(join(dirname(path), shard));
      opened.push(source);
      for (const name of names) {
        const tensor = source.tensors.get(name);
        if (!tensor) throw damaged(`the shard has no tensor ${printable(name)}`, source.path);
        tensors.set(name, tensor);
      }
    }
    const format = `${opened[0]?.format ?? 'no'}, ${opened.length} shards`;
    return { path, format, files: [path, ...opened.flatMap((s) => s.files)], tensors, metadata: {}, close };
  } catch (error) {
    close();
    throw error;
  }
}

async function openZip(path: string): Promise<TensorSource> {
  const entries = await zipEntries(path);
  const folder = torchFolder(entries);
  if (folder !== undefined) return openTorchZip(path, entries, folder);
  if (entries.size > 0 && [...entries.keys()].every((name) => name.endsWith('.npy')))
    return openNpz(path, entries);
  throw new FileError('a zip file, but none of torch.save or numpy.savez', path, FORMATS);
}

/** The first bytes of a file. */
function firstBytes(path: string): Uint8Array {
  const file = ByteFile.open(path);
  try {
    return file.read(0, Math.min(16, file.size));
  } finally {
    file.close();
  }
}

const pickleExtensions = ['.pth', '.pt', '.bin', '.ckpt', '.pkl'];

async function openFile(path: string): Promise<TensorSource> {
  if (path.endsWith('.index.json')) return openSharded(path);
  const first = firstBytes(path);
  if (first[0] === 0x50 && first[1] === 0x4b && (first[2] === 3 || first[2] === 5)) return openZip(path);
  const extension = extname(path).toLowerCase();
  if (extension === '.safetensors' || first[8] === 0x7b /* { */) return openSafetensors(path);
  if (first[0] === 0x80 || pickleExtensions.includes(extension)) return openTorchLegacy(path);
  throw new FileError('none of the formats that hold weights', path, FORMATS);
}

/**
 * Opens weights for reading, tensor by tensor. Close them after use.
 *
 * @throws {FileError} when the file is missing, damaged, or asks for anything to be run.
 */
export async function openWeights(path: string): Promise<TensorSource> {
  let isFolder: boolean;
  try {
    isFolder = statSync(path).isDirectory();
  } catch (error) {
    throw asFileError(error, path, 'read');
  }
  if (!isFolder) return openFile(path);
  const found = modelFiles.find((name) => existsSync(join(path, name)));
  if (found) return openFile(join(path, found));
  throw new FileError(
    `no weights in ${basename(path)}/`,
    path,
    `a model folder has ${modelFiles.join(' or ')}`,
  );
}

/** Reads weights with `use` and closes them. */
export async function withWeights<T>(
  path: string,
  use: (source: TensorSource) => T | Promise<T>,
): Promise<T> {
  const source = await openWeights(path);
  try {
    return await use(source);
  } finally {
    source.close();
  }
}
