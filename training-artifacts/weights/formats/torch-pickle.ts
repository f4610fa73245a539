/** @file What a pickle of PyTorch may hold: tensors over storages, containers, numbers. The allow-list is here. */
import type { SafetensorsDType } from '../safetensors.js';
import { safetensorsBytes } from '../safetensors.js';
import { PickleDType, PickleGlobal, PickleTuple, type PickleValue } from './pickle-machine.js';
import { countOf, damaged, printable } from './source.js';

/** Bytes of tensors, by key: a zip entry or a part of a legacy file. */
export class Storage {
  constructor(
    readonly key: string,
    readonly dtype: SafetensorsDType,
    /** elements */
    readonly size: number,
  ) {}
}

/** A view of a storage; all numbers count elements. */
export class TensorView {
  constructor(
    readonly storage: Storage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
    /** conjugated or negated without being computed: none that PyTorch saves of weights */
    readonly lazy: boolean,
  ) {}
}

const storageTypes: Readonly<Record<string, SafetensorsDType>> = {
  DoubleStorage: 'F64',
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
};

/** A storage class, whose name says the type of its numbers. */
class StorageType extends PickleGlobal {
  constructor(
    name: string,
    readonly dtype: SafetensorsDType,
  ) {
    super(name);
  }
}

const whole = (value: PickleValue): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const wholes = (value: PickleValue): readonly number[] | undefined =>
  value instanceof PickleTuple && value.items.every(whole) ? (value.items as number[]) : undefined;

function rebuildTensor([storage, offset, size, stride, , , metadata]: readonly PickleValue[]): PickleValue {
  const [shape, strides] = [wholes(size), wholes(stride)];
  if (!(storage instanceof Storage && whole(offset) && shape && strides)) return undefined;
  return new TensorView(storage, offset, shape, strides, metadata instanceof Map && metadata.size > 0);
}

const rebuildParameter = ([data]: readonly PickleValue[]): PickleValue =>
  data instanceof TensorView ? data : undefined;

/** An OrderedDict, empty or from a list of pairs. */
function orderedDict([pairs]: readonly PickleValue[]): PickleValue {
  const map = new Map<PickleValue, PickleValue>();
  if (pairs === undefined) return map;
  if (!Array.isArray(pairs)) return undefined;
  for (const pair of pairs) {
    const items: readonly PickleValue[] | undefined = pair instanceof PickleTuple ? pair.items : pair;
    if (!Array.isArray(items) || items.length !== 2) return undefined;
    map.set(items[0], items[1]);
  }
  return map;
}

const scalars: Readonly<Record<string, (view: DataView) => PickleValue>> = {
  f8: (v) => v.getFloat64(0, true),
  f4: (v) => v.getFloat32(0, true),
  i8: (v) => Number(v.getBigInt64(0, true)),
  i4: (v) => v.getInt32(0, true),
  b1: (v) => v.getUint8(0) !== 0,
};

/** A numpy number, e.g. the best accuracy that a checkpoint records. */
function numpyScalar([dtype, data]: readonly PickleValue[]): PickleValue {
  const bytes = typeof data === 'string' ? Buffer.from(data, 'latin1') : data;
  if (!(dtype instanceof PickleDType && bytes instanceof Uint8Array && Object.hasOwn(scalars, dtype.code)))
    return undefined;
  if (bytes.length !== Number(dtype.code.slice(1))) return undefined;
  return scalars[dtype.code]!(new DataView(bytes.buffer, bytes.byteOffset, bytes.length));
}

const numpyDType = ([code]: readonly PickleValue[]): PickleValue =>
  typeof code === 'string' ? new PickleDType(code) : undefined;

/** How protocol 2 writes bytes: a text and the word latin1. */
const encode = ([text, encoding]: readonly PickleValue[]): PickleValue =>
  typeof text === 'string' && encoding === 'latin1' ? new Uint8Array(Buffer.from(text, 'latin1')) : undefined;

const functions: Readonly<Record<string, NonNullable<PickleGlobal['call']>>> = {
  'torch._utils._rebuild_tensor': rebuildTensor,
  'torch._utils._rebuild_tensor_v2': rebuildTensor,
  'torch._utils._rebuild_parameter': rebuildParameter,
  'collections.OrderedDict': orderedDict,
  'torch.Size': ([items]) => (items === undefined ? new PickleTuple([]) : items),
  'torch.device': ([name]) => String(name),
  '_codecs.encode': encode,
  'numpy.dtype': numpyDType,
  'numpy.core.multiarray.scalar': numpyScalar,
  'numpy._core.multiarray.scalar': numpyScalar,
};

const dtypeNames = [
  'float64',
  'float32',
  'float16',
  'bfloat16',
  'int64',
  'int32',
  'int16',
  'int8',
  'uint8',
  'bool',
];

/** Everything that a pickle may name. */
export const torchGlobals: ReadonlyMap<string, PickleGlobal> = new Map<string, PickleGlobal>([
  ...Object.entries(functions).map(([name, call]) => [name, new PickleGlobal(name, call)] as const),
  ...Object.entries(storageTypes).map(
    ([name, dtype]) => [`torch.${name}`, new StorageType(`torch.${name}`, dtype)] as const,
  ),
  ...['torch.storage.UntypedStorage', 'torch.UntypedStorage'].map(
    (name) => [name, new StorageType(name, 'U8')] as const,
  ),
  ...dtypeNames.map((name) => [`torch.${name}`, new PickleGlobal(`torch.${name}`)] as const),
]);

/**
 * The storage of a persistent id: ('storage', type, key, device, elements), in the legacy format with a view.
 *
 * @throws {FileError} for another one; a storage has one size and type, however often it is named.
 */
export function storageResolver(file: string, found: Map<string, Storage>): (id: PickleValue) => Storage {
  return (id) => {
    const [kind, type, key, , size, view] = id instanceof PickleTuple ? id.items : [];
    if (kind !== 'storage' || !(type instanceof StorageType) || typeof key !== 'string' || !whole(size))
      throw damaged('the pickle names a storage in an unknown way', file);
    if (view) throw damaged(`storage ${printable(key)} is a view of another, as before PyTorch 0.4`, file);
    const known = found.get(key);
    if (known && (known.dtype !== type.dtype || known.size !== size))
      throw damaged(`storage ${printable(key)} has two sizes or types`, file);
    const storage = known ?? new Storage(key, type.dtype, size);
    found.set(key, storage);
    return storage;
  };
}

/** @throws {FileError} when a view reaches beyond its storage, or repeats numbers to be larger than it. */
export function checkView(name: string, view: TensorView, file: string): void {
  const { storage, offset, shape, strides } = view;
  const where = `${file}, tensor ${printable(name)}`;
  if (view.lazy) throw damaged('the tensor is conjugated or negated', where);
  if (shape.length !== strides.length || shape.length > 16)
    throw damaged(`[${shape}] has ${strides.length} strides`, where);
  const count = countOf(shape);
  if (count === 0) return;
  const last = shape.reduce((at, n, axis) => at + (n - 1) * strides[axis]!, offset);
  if (!(last < storage.size))
    throw damaged(`[${shape}] reaches beyond its storage of ${storage.size} numbers`, where);
  if (!(count <= storage.size))
    throw damaged(`[${shape}] repeats the ${storage.size} numbers of its storage`, where);
}

/** Bytes of a storage. */
export const storageBytes = ({ dtype, size }: Storage): number => size * safetensorsBytes[dtype];

const MAX_TENSORS = 2 ** 18;

/** All tensors below a value, by their path: keys and list places, joined by dots. */
export function collectTensors(root: PickleValue, file: string): Map<string, TensorView> {
  const found = new Map<string, TensorView>();
  const seen = new Set<PickleValue>();
  const walk = (value: PickleValue, path: string, depth: number): void => {
    if (value instanceof TensorView) {
      const name = path || 'tensor';
      if (found.has(name)) throw damaged(`two tensors are called ${printable(name)}`, file);
      if (found.size === MAX_TENSORS) throw damaged(`more than ${MAX_TENSORS} tensors`, file);
      checkView(name, value, file);
      found.set(name, value);
      return;
    }
    const items = value instanceof PickleTuple ? value.items : value;
    if (!(items instanceof Map || Array.isArray(items)) || depth === 12 || seen.has(value)) return;
    // a container that stands in several places is walked once: nested references cannot multiply
    seen.add(value);
    for (const [key, item] of items.entries()) {
      const label = typeof key === 'string' || typeof key === 'number' ? String(key) : undefined;
      if (label !== undefined) walk(item, path ? `${path}.${label}` : label, depth + 1);
    }
  };
  walk(root, '', 0);
  return found;
}
