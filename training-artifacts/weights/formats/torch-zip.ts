/** @file PyTorch's zip format (torch.save since 1.6): `<name>/data.pkl` and a stored entry `<name>/data/<key>` each storage. */
import { FileError } from '../../../graph-builder/errors.js';
import { safetensorsBytes } from '../safetensors.js';
import { ByteFile } from './byte-file.js';
import { MAX_PICKLE, readPickle } from './pickle.js';
import { damaged, printable, type SourceTensor, type TensorSource } from './source.js';
import { type Strided, stridedPieces } from './strided.js';
import {
  collectTensors,
  type Storage,
  storageBytes,
  storageResolver,
  type TensorView,
  torchGlobals,
} from './torch-pickle.js';
import type { ZipEntry } from './zip-entries.js';

const PICKLE = /^([^/]+)\/data\.pkl$/;

/** Folder of the archive that holds `data.pkl`; undefined for another kind of zip file. */
export const torchFolder = (entries: ReadonlyMap<string, ZipEntry>): string | undefined =>
  [...entries.keys()].map((name) => PICKLE.exec(name)?.[1]).find((folder) => folder !== undefined);

/** A stored entry: what torch.save writes. */
function stored(entries: ReadonlyMap<string, ZipEntry>, name: string, path: string): ZipEntry {
  const entry = entries.get(name);
  if (!entry) throw damaged(`the entry ${printable(name)} is missing`, path);
  if (!entry.deflated) return entry;
  throw new FileError(
    'the entry is compressed; PyTorch stores entries as they are',
    `${path}, entry ${printable(name)}`,
    'save the file again with torch.save',
  );
}

/** A tensor whose storage starts at `start`. */
export function viewTensor(name: string, view: TensorView, file: ByteFile, start: number): SourceTensor {
  const { storage, offset, shape, strides } = view;
  const width = safetensorsBytes[storage.dtype];
  const strided: Strided = { file, start, width, offset, shape, strides };
  return { name, dtype: storage.dtype, shape, pieces: () => stridedPieces(strided) };
}

function readTensors(
  file: ByteFile,
  entries: ReadonlyMap<string, ZipEntry>,
  folder: string,
): Map<string, SourceTensor> {
  const { path } = file;
  if ([...entries.keys()].some((name) => name.startsWith(`${folder}/code/`)))
    throw new FileError(
      'a TorchScript archive: it holds code',
      path,
      'load it in Python and save model.state_dict() alone',
    );
  const order = entries.get(`${folder}/byteorder`);
  if (order && new TextDecoder().decode(file.read(order.offset, Math.min(order.length, 16))) !== 'little')
    throw new FileError('the file was written on a big-endian machine', path, 'save it on another machine');
  const pickle = stored(entries, `${folder}/data.pkl`, path);
  if (pickle.size > MAX_PICKLE)
    throw damaged(`the pickle has ${pickle.size} bytes, more than ${MAX_PICKLE}`, path);
  const persistent = storageResolver(path, new Map<string, Storage>());
  const bytes = file.read(pickle.offset, pickle.length);
  const { value } = readPickle(bytes, { file: path, globals: torchGlobals, persistent });
  const tensors = [...collectTensors(value, path)].map(([name, view]) => {
    const entry = stored(entries, `${folder}/data/${view.storage.key}`, path);
    if (storageBytes(view.storage) > entry.size)
      throw damaged(
        `storage ${printable(view.storage.key)} has ${entry.size} bytes, ${storageBytes(view.storage)} are needed`,
        path,
      );
    return [name, viewTensor(name, view, file, entry.offset)] as const;
  });
  return new Map(tensors);
}

/** @throws {FileError} for a damaged file, or a pickle that asks for more than data. */
export function openTorchZip(
  path: string,
  entries: ReadonlyMap<string, ZipEntry>,
  folder: string,
): TensorSource {
  const file = ByteFile.open(path);
  try {
    const tensors = readTensors(file, entries, folder);
    return { path, format: 'PyTorch (zip)', files: [path], tensors, metadata: {}, close: () => file.close() };
  } catch (error) {
    file.close();
    throw error;
  }
}
