/** @file NumPy's .npz: a zip file of .npy arrays. */
import { FileError } from '../../../graph-builder/errors.js';
import { type SafetensorsDType, safetensorsBytes } from '../safetensors.js';
import { ByteFile } from './byte-file.js';
import { entryPieces, entryStart } from './inflate.js';
import { countOf, damaged, printable, type SourceTensor, type TensorSource } from './source.js';
import { stridedPieces } from './strided.js';
import type { ZipEntry } from './zip-entries.js';

const dtypes: Readonly<Record<string, SafetensorsDType>> = {
  f8: 'F64',
  f4: 'F32',
  f2: 'F16',
  i8: 'I64',
  i4: 'I32',
  i2: 'I16',
  i1: 'I8',
  u1: 'U8',
  b1: 'BOOL',
};

interface NpyHeader {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly fortran: boolean;
  /** bytes before the numbers */
  readonly start: number;
}

const MAX_HEADER = 2 ** 16;

/** Length of the text that describes the array, and where it starts. Source: NEP 1. */
function headerText(bytes: Uint8Array, where: string): { text: string; start: number } {
  const magic = String.fromCharCode(...bytes.subarray(0, 6));
  if (magic !== '\x93NUMPY' || bytes.length < 12) throw damaged('not an .npy array', where);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = bytes[6] === 1 ? 10 : 12;
  const length = bytes[6] === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (at + length > bytes.length) throw damaged(`an .npy header of ${length} bytes`, where);
  return { text: Buffer.from(bytes.subarray(at, at + length)).toString('latin1'), start: at + length };
}

/** e.g. {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } */
function readHeader(bytes: Uint8Array, where: string): NpyHeader {
  const { text, start } = headerText(bytes, where);
  const descr = /'descr':\s*'([^']*)'/.exec(text)?.[1];
  const fortran = /'fortran_order':\s*(True|False)/.exec(text)?.[1];
  const sizes = /'shape':\s*\(([\d,\s]*)\)/.exec(text)?.[1];
  if (fortran === undefined || sizes === undefined) throw damaged('the .npy header is not complete', where);
  const [, order, code] = /^([<|>=]?)([a-zA-Z]\d*)$/.exec(descr ?? '') ?? [];
  if (code === undefined || order === '>' || !Object.hasOwn(dtypes, code)) {
    const remedy =
      code === 'O' ? 'save arrays of numbers: an array of objects is a pickle' : 'convert it to float32';
    throw new FileError(`arrays of type ${printable(descr ?? 'unknown')} are not read`, where, remedy);
  }
  const shape = sizes.split(',').flatMap((n) => (n.trim() === '' ? [] : [Number(n)]));
  return { dtype: dtypes[code]!, shape, fortran: fortran === 'True', start };
}

function readArray(file: ByteFile, entry: ZipEntry): SourceTensor {
  const name = entry.name.slice(0, -'.npy'.length);
  const where = `${file.path}, array ${printable(name)}`;
  const { dtype, shape, fortran, start } = readHeader(entryStart(file, entry, MAX_HEADER), where);
  const bytes = countOf(shape) * safetensorsBytes[dtype];
  if (!(start + bytes === entry.size))
    throw damaged(`[${shape}] needs ${bytes} bytes, has ${entry.size - start}`, where);
  if (!fortran || shape.length < 2)
    return { name, dtype, shape, pieces: () => entryPieces(file, entry, start) };
  if (entry.deflated)
    throw new FileError('compressed and in Fortran order', where, 'save np.ascontiguousarray(array)');
  const strides = shape.map((_, axis) => countOf(shape.slice(0, axis)));
  const width = safetensorsBytes[dtype];
  const view = { file, start: entry.offset + start, width, offset: 0, shape, strides };
  return { name, dtype, shape, pieces: () => stridedPieces(view) };
}

/** @throws {FileError} for a damaged file or arrays that are no numbers. */
export function openNpz(path: string, entries: ReadonlyMap<string, ZipEntry>): TensorSource {
  const file = ByteFile.open(path);
  try {
    const tensors = [...entries.values()].map((entry) => readArray(file, entry));
    const byName = new Map(tensors.map((t) => [t.name, t] as const));
    return {
      path,
      format: 'NumPy .npz',
      files: [path],
      tensors: byName,
      metadata: {},
      close: () => file.close(),
    };
  } catch (error) {
    file.close();
    throw error;
  }
}
