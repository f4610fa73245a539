/** @file What an ONNX file holds, without making a graph of it: any operator and type will do. */
import onnxProto, { type onnx } from 'onnx-proto';
import { FileError } from '../errors.js';
import { dimsOf, isExternal } from './tensors.js';

export interface OnnxTensor {
  readonly name: string;
  /** ONNX's name of the type, e.g. FLOAT */
  readonly dtype: string;
  readonly shape: readonly (number | string)[];
  /** file that holds the numbers, where it is not this one */
  readonly external?: string;
}

export interface OnnxDescription {
  readonly irVersion: number;
  readonly opsets: Readonly<Record<string, number>>;
  readonly producer: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly inputs: readonly OnnxTensor[];
  readonly outputs: readonly OnnxTensor[];
  readonly initialisers: readonly OnnxTensor[];
  /** how many nodes there are of each operator */
  readonly operators: Readonly<Record<string, number>>;
}

const typeName = (type: number | null | undefined): string => {
  const known = Object.entries(onnxProto.onnx.TensorProto.DataType).find(([, value]) => value === type);
  return known?.[0] ?? `type ${type}`;
};

function ofInfo({ name, type }: onnx.IValueInfoProto): OnnxTensor {
  const tensor = type?.tensorType;
  const shape = (tensor?.shape?.dim ?? []).map((d) => d.dimParam || Number(d.dimValue ?? 0));
  return { name: name ?? '', dtype: typeName(tensor?.elemType), shape };
}

function ofTensor(t: onnx.ITensorProto): OnnxTensor {
  const location = t.externalData?.find(({ key }) => key === 'location')?.value;
  const external = isExternal(t) ? { external: location ?? '' } : {};
  return { name: t.name ?? '', dtype: typeName(t.dataType), shape: dimsOf(t), ...external };
}

function describeModel(model: onnx.ModelProto, file: string): OnnxDescription {
  const graph = model.graph;
  if (!graph) throw new FileError('the model has no graph', file, 'write it again');
  const initialisers = (graph.initializer ?? []).map(ofTensor);
  const weights = new Set(initialisers.map(({ name }) => name));
  const operators: Record<string, number> = {};
  for (const { domain, opType } of graph.node ?? []) {
    const name = domain ? `${domain}.${opType}` : (opType ?? '');
    operators[name] = (operators[name] ?? 0) + 1;
  }
  return {
    irVersion: Number(model.irVersion),
    opsets: Object.fromEntries(
      model.opsetImport.map(({ domain, version }) => [domain || 'ai.onnx', Number(version)]),
    ),
    producer: model.producerName,
    metadata: Object.fromEntries(
      (model.metadataProps ?? []).map(({ key, value }) => [key ?? '', value ?? '']),
    ),
    inputs: (graph.input ?? []).filter(({ name }) => !weights.has(name ?? '')).map(ofInfo),
    outputs: (graph.output ?? []).map(ofInfo),
    initialisers,
    operators,
  };
}

/** @throws {FileError} when the bytes are no ONNX model. */
export function describeOnnx(bytes: Uint8Array, file: string): OnnxDescription {
  try {
    return describeModel(onnxProto.onnx.ModelProto.decode(bytes), file);
  } catch (cause) {
    if (cause instanceof FileError) throw cause;
    throw new FileError('not an ONNX model, or damaged', file, 'write it again', { cause });
  }
}
