/** @file ONNX → IR, for models made of the operators that the registry knows. */
import onnxProto, { type onnx } from 'onnx-proto';
import { FileError } from '../errors.js';
import { onnxTypes } from '../ir/dtypes.js';
import type { Attribute, Constant, Dim, DType, Graph, Input, Node, Parameter, Value } from '../ir/types.js';
import { definitionOf, isOpName } from '../ops/registry.js';
import { decodeNumbers } from './literals.js';
import type { ExternalTensor } from './write.js';

export interface ReadModel {
  readonly graph: Graph;
  /** where the frozen parameters' bytes lie */
  readonly weights: ReadonlyMap<string, ExternalTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

const bad = (what: string, where: string): FileError =>
  new FileError(what, where, 'export the model with opset 18 in the operators that the README lists');

function dtypeOf(elemType: number | null | undefined, where: string): DType {
  const found = (Object.keys(onnxTypes) as DType[]).find((t) => onnxTypes[t] === elemType);
  if (!found) throw bad(`tensor type ${elemType} is not supported`, where);
  return found;
}

function shapeOf(type: onnx.ITypeProto | null | undefined): Dim[] {
  return (type?.tensorType?.shape?.dim ?? []).map((d) => d.dimParam || Number(d.dimValue ?? 0));
}

const infoType = (info: onnx.IValueInfoProto) => ({
  dtype: dtypeOf(info.type?.tensorType?.elemType, info.name ?? ''),
  shape: shapeOf(info.type),
});

/** The decimal number that float32 `f` was written for: 1e-12, not 9.999999960041972e-13. */
function shortest(f: number): number {
  const short = Number(f.toPrecision(7));
  return Math.fround(short) === f ? short : f;
}

function attributeValue(a: onnx.IAttributeProto, where: string): Attribute {
  const { AttributeType } = onnxProto.onnx.AttributeProto;
  if (a.type === AttributeType.INT) return Number(a.i);
  if (a.type === AttributeType.FLOAT) return shortest(a.f!);
  if (a.type === AttributeType.INTS) return (a.ints ?? []).map(Number);
  if (a.type === AttributeType.STRING) return new TextDecoder().decode(a.s!);
  throw bad(`attribute ${a.name} has a type that is not supported`, where);
}

/** One initialiser: a literal, or a parameter whose bytes lie in another file. */
function readInitialiser(t: onnx.ITensorProto): { value: Constant | Parameter; external?: ExternalTensor } {
  const dtype = dtypeOf(t.dataType, t.name ?? '');
  const shape = (t.dims ?? []).map(Number);
  const name = t.name!;
  if (t.dataLocation !== onnxProto.onnx.TensorProto.DataLocation.EXTERNAL) {
    const data = decodeNumbers(dtype, t.rawData!);
    if (data.length !== shape.reduce((p, n) => p * n, 1))
      throw bad(`[${shape}] has ${data.length} raw numbers`, name);
    return { value: { kind: 'constant', name, dtype, shape, data } };
  }
  const entry = (key: string) => t.externalData?.find((e) => e.key === key)?.value ?? '0';
  const bytes = (key: string): number => {
    const count = Number(entry(key));
    if (!Number.isSafeInteger(count) || count < 0)
      throw bad(`the ${key} ${entry(key)} is no number of bytes`, name);
    return count;
  };
  return {
    value: { kind: 'parameter', name, dtype, shape, trainable: false, init: 'checkpoint' },
    external: { location: entry('location'), offset: bytes('offset'), length: bytes('length') },
  };
}

/** Attributes that ONNX keeps as constant inputs come back as attributes. */
function liftInputs(op: Node['op'], operands: readonly (Value | undefined)[]) {
  const { asInputs = [] } = definitionOf(op);
  const at = Math.max(1, operands.length - asInputs.length); // the first input is never static
  const isStatic = (v: Value | undefined): v is Constant =>
    v !== undefined && 'kind' in v && v.kind === 'constant';
  const tail = operands.slice(at);
  if (tail.length !== asInputs.length || !tail.every(isStatic)) return { inputs: operands, lifted: {} };
  return {
    inputs: operands.slice(0, at),
    lifted: Object.fromEntries(asInputs.map((name, i) => [name, (tail[i] as Constant).data])),
  };
}

/**
 * Reads an ONNX model whose operators the registry has.
 *
 * @throws {FileError} naming the first operator, attribute or tensor type that it has not.
 */
export function readOnnx(bytes: Uint8Array, file: string): ReadModel {
  try {
    return readModel(onnxProto.onnx.ModelProto.decode(bytes), file);
  } catch (cause) {
    if (cause instanceof FileError) throw cause;
    // protobuf's errors, shapes that do not fit, missing fields: all are the file's fault
    throw new FileError('not an ONNX model, or damaged', file, 'write it again', { cause });
  }
}

function readModel(model: onnx.ModelProto, file: string): ReadModel {
  const proto = model.graph;
  if (!proto) throw bad('the model has no graph', file);
  const values = new Map<string, Value>();
  const read = (name: string, where: string): Value => {
    const value = values.get(name);
    if (!value) throw bad(`${name} is read before it is made`, where);
    return value;
  };
  const known = new Map((proto.valueInfo ?? []).concat(proto.output ?? []).map((info) => [info.name!, info]));
  const metadata = Object.fromEntries((model.metadataProps ?? []).map(({ key, value }) => [key!, value!]));
  const trainable = new Set<string>(JSON.parse(metadata.trainable ?? '[]'));
  const weights = new Map<string, ExternalTensor>();
  const parameters: Parameter[] = [];
  const inputs: Input[] = [];
  const constants: Constant[] = [];
  for (const t of proto.initializer ?? []) {
    const { value, external } = readInitialiser(t);
    values.set(value.name, value);
    if (external) weights.set(value.name, external);
    if (value.kind === 'parameter') parameters.push(value);
    else constants.push(value);
  }
  for (const info of proto.input ?? []) {
    const name = info.name!;
    if (trainable.has(name)) {
      const p: Parameter = {
        kind: 'parameter',
        name,
        ...infoType(info),
        trainable: true,
        init: 'checkpoint',
      };
      parameters.push(p);
      values.set(name, p);
    } else {
      const input: Input = { kind: 'input', name, ...infoType(info) };
      inputs.push(input);
      values.set(name, input);
    }
  }
  const nodes: Node[] = [];
  for (const n of proto.node ?? []) {
    const op = n.opType ?? '';
    const where = `${file}, node ${n.name}`;
    const operands = (n.input ?? []).map((name) => (name ? read(name, where) : undefined));
    if (op === 'Identity') {
      values.set(n.output![0]!, read(n.input?.[0] ?? '', where));
      continue;
    }
    if (!isOpName(op)) throw bad(`operator ${op} is not supported`, where);
    const domain = n.domain === 'ai.onnx' ? '' : (n.domain ?? '');
    if (domain !== (definitionOf(op).domain ?? ''))
      throw bad(`operator ${domain}.${op} is not supported`, where);
    const { inputs: own, lifted } = liftInputs(op, operands);
    const { asInputs = [] } = definitionOf(op);
    const isFed = op === 'Reshape' && own.length === 2;
    if (asInputs.some((a) => !(a in lifted)) && !isFed) throw bad(`${op} has no constant ${asInputs}`, where);
    const attrs = Object.fromEntries((n.attribute ?? []).map((a) => [a.name!, attributeValue(a, where)]));
    const types = (n.output ?? []).map((name) => known.get(name));
    const inferred = types.every((t) => t) ? undefined : definitionOf(op).infer(own, { ...attrs, ...lifted });
    const outputs = (n.output ?? []).map((name, i) => ({
      name,
      ...(types[i] ? infoType(types[i]) : inferred![i]!),
    }));
    for (const output of outputs) {
      if (values.has(output.name)) throw bad(`${output.name} is made twice`, where);
      values.set(output.name, output);
    }
    nodes.push({ op, inputs: own, attrs: { ...attrs, ...lifted }, outputs } as unknown as Node);
  }
  const outputs = Object.fromEntries(
    (proto.output ?? []).map(({ name }) => [name!, read(name!, `${file}, output ${name}`)]),
  );
  return { graph: { inputs, parameters, constants, nodes, outputs }, weights, metadata };
}
