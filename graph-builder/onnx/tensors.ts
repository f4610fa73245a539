/** @file ONNX tensors and types → the IR's. */
import onnxProto, { type onnx } from 'onnx-proto';
import { FileError } from '../errors.js';
import { onnxTypes } from '../ir/dtypes.js';
import type { Attribute, Constant, Dim, DType, ValueType } from '../ir/types.js';
import { decodeNumbers, encodeNumbers } from './literals.js';
import type { ExternalTensor } from './write.js';

export const bad = (
  what: string,
  where: string,
  remedy = 'export the model with opset 13 to 23 in the operators that the README lists',
): FileError => new FileError(what, where, remedy);

export function dtypeOf(elemType: number | null | undefined, where: string): DType {
  const found = (Object.keys(onnxTypes) as DType[]).find((t) => onnxTypes[t] === elemType);
  if (!found) throw bad(`tensor type ${elemType} is not supported`, where);
  return found;
}

const shapeOf = (type: onnx.ITypeProto | null | undefined): Dim[] =>
  (type?.tensorType?.shape?.dim ?? []).map((d) => d.dimParam || Number(d.dimValue ?? 0));

export const infoType = (info: onnx.IValueInfoProto): ValueType => ({
  dtype: dtypeOf(info.type?.tensorType?.elemType, info.name ?? ''),
  shape: shapeOf(info.type),
});

export const isExternal = (t: onnx.ITensorProto): boolean =>
  t.dataLocation === onnxProto.onnx.TensorProto.DataLocation.EXTERNAL;

export const dimsOf = (t: onnx.ITensorProto): number[] => (t.dims ?? []).map(Number);

export const sizeOf = (t: onnx.ITensorProto): number => dimsOf(t).reduce((p, n) => p * n, 1);

/** Numbers of a tensor that are stored one by one instead of as bytes. */
function typedNumbers(t: onnx.ITensorProto, dtype: DType): number[] {
  if (dtype === 'float32') return [...(t.floatData ?? [])];
  return (dtype === 'int64' ? (t.int64Data ?? []) : (t.int32Data ?? [])).map(Number);
}

/** A tensor's numbers as a constant. */
export function readLiteral(t: onnx.ITensorProto, name = t.name ?? ''): Constant {
  const dtype = dtypeOf(t.dataType, name);
  const shape = dimsOf(t);
  const typed = typedNumbers(t, dtype);
  if (dtype === 'float16' || dtype === 'bfloat16')
    throw bad(`${dtype} numbers are not read`, name, 'export the model in float32');
  const data = typed.length > 0 ? typed : decodeNumbers(dtype, t.rawData!);
  if (data.length !== sizeOf(t)) throw bad(`[${shape}] has ${data.length} raw numbers`, name);
  return { kind: 'constant', name, dtype, shape, data };
}

/** The raw little-endian bytes of a float32 tensor. */
export function weightBytes(t: onnx.ITensorProto): Uint8Array {
  const typed = t.floatData ?? [];
  const bytes = typed.length > 0 ? encodeNumbers('float32', typed) : t.rawData!;
  if (bytes.length !== 4 * sizeOf(t)) throw bad(`[${dimsOf(t)}] has ${bytes.length} bytes`, t.name ?? '');
  return bytes;
}

/** Where the bytes of an external tensor lie. */
export function externalRange(t: onnx.ITensorProto): ExternalTensor {
  const entry = (key: string) => t.externalData?.find((e) => e.key === key)?.value ?? '0';
  const bytes = (key: string): number => {
    const count = Number(entry(key));
    if (Number.isSafeInteger(count) && count >= 0) return count;
    throw bad(`the ${key} ${entry(key)} is no number of bytes`, t.name ?? '');
  };
  return { location: entry('location'), offset: bytes('offset'), length: bytes('length') };
}

/** The decimal number that float32 `f` was written for: 1e-12, not 9.999999960041972e-13. */
export function shortest(f: number): number {
  const short = Number(f.toPrecision(7));
  return Math.fround(short) === f ? short : f;
}

/** An attribute as the IR has them, undefined if it is of another kind (a tensor, a graph ...). */
export function plainAttribute(a: onnx.IAttributeProto): Attribute | undefined {
  const { AttributeType } = onnxProto.onnx.AttributeProto;
  if (a.type === AttributeType.INT) return Number(a.i);
  if (a.type === AttributeType.FLOAT) return shortest(a.f!);
  if (a.type === AttributeType.INTS) return (a.ints ?? []).map(Number);
  if (a.type === AttributeType.FLOATS) return [...(a.floats ?? [])];
  if (a.type === AttributeType.STRING) return new TextDecoder().decode(a.s!);
  return undefined;
}
