/** @file PyTorch's format before 1.6: four pickles, then the storages one after another, each behind its length. */
import { FileError } from '../../../graph-builder/errors.js';
import { ByteFile } from './byte-file.js';
import { MAX_PICKLE, readPickle } from './pickle.js';
import type { PickleValue } from './pickle-machine.js';
import { damaged, type SourceTensor, type TensorSource } from './source.js';
import { collectTensors, type Storage, storageBytes, storageResolver, torchGlobals } from './torch-pickle.js';
import { viewTensor } from './torch-zip.js';

/** The first pickle of every file. */
const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;

/** Where each storage's bytes start. */
function locate(
  file: ByteFile,
  keys: PickleValue,
  storages: ReadonlyMap<string, Storage>,
  first: number,
): Map<string, number> {
  const starts = new Map<string, number>();
  let at = first;
  if (!Array.isArray(keys)) throw damaged('the list of storages is missing', file.path);
  for (const key of keys) {
    const storage = storages.get(key);
    if (!storage) throw damaged('a storage is listed that no tensor has', file.path);
    const count = new DataView(file.read(at, 8).buffer).getBigInt64(0, true);
    if (count !== BigInt(storage.size))
      throw damaged(`storage ${key} has ${count} numbers, ${storage.size} are needed`, file.path);
    starts.set(key, at + 8);
    at += 8 + storageBytes(storage);
  }
  if (at > file.size) throw damaged(`the file is cut short: ${file.size} bytes, ${at} are needed`, file.path);
  return starts;
}

function readTensors(file: ByteFile): Map<string, SourceTensor> {
  const { path } = file;
  const storages = new Map<string, Storage>();
  const rules = { file: path, globals: torchGlobals, persistent: storageResolver(path, storages) };
  const bytes = file.read(0, Math.min(file.size, MAX_PICKLE));
  let at = 0;
  const next = (): PickleValue => {
    const { value, end } = readPickle(bytes.subarray(at), rules);
    at += end;
    return value;
  };
  const magic = next();
  if (magic !== MAGIC)
    throw new FileError('a pickle, but none of torch.save', path, 'save model.state_dict() with torch.save');
  if (next() !== PROTOCOL) throw damaged('a version of the format that was never published', path);
  const system = next();
  if (system instanceof Map && system.get('little_endian') === false)
    throw new FileError('the file was written on a big-endian machine', path, 'save it on another machine');
  const views = collectTensors(next(), path);
  const starts = locate(file, next(), storages, at);
  const tensors = [...views].map(([name, view]) => {
    const start = starts.get(view.storage.key);
    if (start === undefined) throw damaged(`the storage of ${name} is missing`, path);
    return [name, viewTensor(name, view, file, start)] as const;
  });
  return new Map(tensors);
}

/** @throws {FileError} for a damaged file, or a pickle that asks for more than data. */
export function openTorchLegacy(path: string): TensorSource {
  const file = ByteFile.open(path);
  try {
    const tensors = readTensors(file);
    return {
      path,
      format: 'PyTorch (legacy)',
      files: [path],
      tensors,
      metadata: {},
      close: () => file.close(),
    };
  } catch (error) {
    file.close();
    throw error;
  }
}
