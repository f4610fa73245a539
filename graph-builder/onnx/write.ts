/** @file IR → ONNX. With read.ts the only place that knows protobuf. */
import onnxProto, { type onnx } from 'onnx-proto';
import { onnxTypes } from '../ir/dtypes.js';
import { prune } from '../ir/graph.js';
import type { Attribute, Constant, DType, Graph, Node, Parameter, Shape, Value } from '../ir/types.js';
import { definitionOf } from '../ops/registry.js';
import { encodeNumbers } from './literals.js';

/** Where a frozen weight's bytes lie: a bare file name and a byte range in it. */
export interface ExternalTensor {
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

export interface WriteOptions {
  readonly name: string;
  /** asked for each frozen parameter */
  readonly weights: (parameter: Parameter) => ExternalTensor;
  readonly metadata?: Readonly<Record<string, string>>;
  /**
   * Asked for each trainable parameter: what it is where a caller gives no other value. Default: it must be given.
   * onnxruntime-node ignores values for inputs with a default, so such graphs are for other programs.
   */
  readonly defaults?: (parameter: Parameter) => ExternalTensor | DefaultValue;
}

/** A default that lies in the ONNX file itself, float32. */
export interface DefaultValue {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

const IR_VERSION = 8;
/** tells files of ours from others: see read.ts */
export const PRODUCER = 'mile-ort';
const OPSETS = { '': 18, 'com.microsoft': 1 } as const;
/** The dtype of attributes that ONNX wants as a tensor input. */
const ATTRIBUTE_DTYPE: DType = 'int64';

const tensorType = (dtype: DType, shape: Shape) => ({
  tensorType: {
    elemType: onnxTypes[dtype],
    shape: { dim: shape.map((d) => (typeof d === 'number' ? { dimValue: d } : { dimParam: d })) },
  },
});

const valueInfo = (name: string, { dtype, shape }: Pick<Value, 'dtype' | 'shape'>) => ({
  name,
  type: tensorType(dtype, shape),
});

function attribute(name: string, value: Attribute, isFloat: boolean): onnx.IAttributeProto {
  const { AttributeType } = onnxProto.onnx.AttributeProto;
  if (typeof value === 'string')
    return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  if (typeof value !== 'number') return { name, type: AttributeType.INTS, ints: [...value] };
  return isFloat
    ? { name, type: AttributeType.FLOAT, f: value }
    : { name, type: AttributeType.INT, i: value };
}

const literal = ({
  name,
  dtype,
  shape,
  data,
}: Pick<Constant, 'name' | 'dtype' | 'data'> & { shape: Shape }) => ({
  name,
  dataType: onnxTypes[dtype],
  dims: shape as number[],
  rawData: encodeNumbers(dtype, data),
});

function externalTensor(p: Parameter, { location, offset, length }: ExternalTensor): onnx.ITensorProto {
  const entries = { location, offset: String(offset), length: String(length) };
  return {
    name: p.name,
    dataType: onnxTypes[p.dtype],
    dims: p.shape as number[],
    dataLocation: onnxProto.onnx.TensorProto.DataLocation.EXTERNAL,
    externalData: Object.entries(entries).map(([key, value]) => ({ key, value })),
  };
}

const defaultTensor = (p: Parameter, value: ExternalTensor | DefaultValue): onnx.ITensorProto =>
  'location' in value
    ? externalTensor(p, value)
    : {
        name: p.name,
        dataType: onnxTypes[p.dtype],
        dims: [...value.shape],
        rawData: new Uint8Array(value.data.buffer, value.data.byteOffset, value.data.byteLength),
      };

/** Names of the values: an output's public name where it has one, else the value's own. */
class Names {
  private readonly names = new Map<Value, string>();
  /** public names that need a node of their own, since their value has another name already */
  readonly aliases: { readonly from: Value; readonly to: string }[] = [];

  constructor(graph: Graph) {
    const made = new Set<Value>(graph.nodes.flatMap((n) => n.outputs));
    for (const [name, value] of Object.entries(graph.outputs)) {
      if (this.names.has(value) || !made.has(value)) this.aliases.push({ from: value, to: name });
      else this.names.set(value, name);
    }
  }

  of = (v: Value): string => this.names.get(v) ?? v.name;
}

/** Nodes with their static inputs written as int64 initialisers, shared where equal. */
function lowerNodes(graph: Graph, names: Names) {
  const literals = new Map<string, onnx.ITensorProto>();
  const used = new Set<Value>(
    [...graph.nodes.flatMap((n) => n.inputs), ...Object.values(graph.outputs)].filter((v) => v !== undefined),
  );
  const asInput = (values: readonly number[]): string => {
    const name = `int64_${values.join('_')}`;
    literals.set(name, literal({ name, dtype: ATTRIBUTE_DTYPE, shape: [values.length], data: values }));
    return name;
  };
  const lower = (node: Node): onnx.INodeProto => {
    const { domain, asInputs = [], floats = [], optionalOutputs = false } = definitionOf(node.op);
    const attrs = Object.entries(node.attrs as Record<string, Attribute | undefined>).filter(
      (e): e is [string, Attribute] => e[1] !== undefined,
    );
    const inputs = node.inputs.map((v) => (v ? names.of(v) : ''));
    for (const name of asInputs) {
      const values = attrs.find(([n]) => n === name)?.[1];
      if (values !== undefined) inputs.push(asInput(values as readonly number[]));
    }
    // Kernels such as Split's crash on outputs left out.
    const kept = optionalOutputs
      ? node.outputs.slice(0, 1 + node.outputs.findLastIndex((v) => used.has(v)))
      : node.outputs;
    return {
      name: node.outputs[0]!.name,
      opType: node.op,
      domain: domain ?? '',
      input: inputs,
      output: kept.map(names.of),
      attribute: attrs
        .filter(([n]) => !asInputs.includes(n))
        .map(([n, v]) => attribute(n, v, floats.includes(n))),
    };
  };
  const nodes = graph.nodes.map(lower);
  for (const { from, to } of names.aliases) {
    nodes.push({ name: `alias/${to}`, opType: 'Identity', input: [names.of(from)], output: [to] });
  }
  return { nodes, literals: [...literals.values()] };
}

/**
 * The bytes of an ONNX model (IR version 8, opset 18, com.microsoft 1).
 *
 * Frozen parameters are initialisers whose data stay where they are (`weights`); trainable ones are inputs,
 * without default unless `defaults` gives one. `metadata_props` lists both by name. Same graph, same bytes.
 */
export function writeOnnx(
  whole: Graph,
  { name, weights, metadata = {}, defaults }: WriteOptions,
): Uint8Array {
  const graph = prune(whole);
  const names = new Names(graph);
  const { nodes, literals } = lowerNodes(graph, names);
  const trainable = graph.parameters.filter((p) => p.trainable);
  const frozen = graph.parameters.filter((p) => !p.trainable);
  const lists = { trainable: trainable.map((p) => p.name), frozen: frozen.map((p) => p.name) };
  const properties = {
    ...metadata,
    trainable: JSON.stringify(lists.trainable),
    frozen: JSON.stringify(lists.frozen),
  };
  const model = onnxProto.onnx.ModelProto.create({
    irVersion: IR_VERSION,
    producerName: PRODUCER,
    opsetImport: Object.entries(OPSETS).map(([domain, version]) => ({ domain, version })),
    metadataProps: Object.entries(properties).map(([key, value]) => ({ key, value })),
    graph: {
      name,
      input: [...graph.inputs, ...trainable].map((v) => valueInfo(v.name, v)),
      initializer: [
        ...frozen.map((p) => externalTensor(p, weights(p))),
        ...(defaults ? trainable.map((p) => defaultTensor(p, defaults(p))) : []),
        ...graph.constants.map(literal),
        ...literals,
      ],
      node: nodes,
      output: Object.entries(graph.outputs).map(([n, v]) => valueInfo(n, v)),
      valueInfo: graph.nodes.flatMap((n) => n.outputs).map((v) => valueInfo(names.of(v), v)),
    },
  });
  return onnxProto.onnx.ModelProto.encode(model).finish();
}
