/** @file ONNX → IR, for files that write.ts made: they say the type of every value. */
import type { onnx } from 'onnx-proto';
import type { Constant, Graph, Input, Node, Parameter, Value, ValueType } from '../ir/types.js';
import { definitionOf, isOpName, type OpName } from '../ops/registry.js';
import {
  bad,
  dimsOf,
  dtypeOf,
  externalRange,
  infoType,
  isExternal,
  plainAttribute,
  readLiteral,
} from './tensors.js';
import type { ExternalTensor } from './write.js';

/** Attributes that ONNX keeps as constant inputs come back as attributes. */
function liftInputs(op: OpName, operands: readonly (Value | undefined)[]) {
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

function operatorOf(n: onnx.INodeProto, where: string): OpName {
  const op = n.opType ?? '';
  const domain = n.domain === 'ai.onnx' ? '' : (n.domain ?? '');
  if (!isOpName(op)) throw bad(`operator ${op} is not supported`, where);
  if (domain === (definitionOf(op).domain ?? '')) return op;
  throw bad(`operator ${domain}.${op} is not supported`, where);
}

/** What the nodes read and make, by name. */
class Values {
  private readonly values = new Map<string, Value>();
  private readonly types: ReadonlyMap<string, onnx.IValueInfoProto>;

  constructor(proto: onnx.IGraphProto) {
    this.types = new Map(
      (proto.valueInfo ?? []).concat(proto.output ?? []).map((info) => [info.name!, info]),
    );
  }

  set<T extends Value>(value: T, name = value.name): T {
    this.values.set(name, value);
    return value;
  }

  read(name: string, where: string): Value {
    const value = this.values.get(name);
    if (!value) throw bad(`${name} is read before it is made`, where);
    return value;
  }

  make(names: readonly string[], infer: () => readonly ValueType[], where: string): readonly Value[] {
    const known = names.map((name) => this.types.get(name));
    const inferred = known.every((t) => t) ? undefined : infer();
    const outputs = names.map((name, i) => ({ name, ...(known[i] ? infoType(known[i]) : inferred![i]!) }));
    for (const output of outputs) {
      if (this.values.has(output.name)) throw bad(`${output.name} is made twice`, where);
      this.set(output);
    }
    return outputs;
  }
}

function readNode(n: onnx.INodeProto, values: Values, where: string): Node {
  const operands = (n.input ?? []).map((name) => (name ? values.read(name, where) : undefined));
  const op = operatorOf(n, where);
  const { inputs, lifted } = liftInputs(op, operands);
  const { asInputs = [] } = definitionOf(op);
  const isFed = op === 'Reshape' && inputs.length === 2;
  if (asInputs.some((a) => !(a in lifted)) && !isFed) throw bad(`${op} has no constant ${asInputs}`, where);
  const own = (n.attribute ?? []).map((a) => {
    const value = plainAttribute(a);
    if (value !== undefined) return [a.name!, value] as const;
    throw bad(`attribute ${a.name} has a type that is not supported`, where);
  });
  const attrs = { ...Object.fromEntries(own), ...lifted };
  const outputs = values.make(n.output ?? [], () => definitionOf(op).infer(inputs, attrs), where);
  return { op, inputs, attrs, outputs } as unknown as Node;
}

/** Frozen parameters with their byte ranges, and literals. */
function readInitialisers(proto: onnx.IGraphProto, values: Values) {
  const weights = new Map<string, ExternalTensor>();
  const parameters: Parameter[] = [];
  const constants: Constant[] = [];
  for (const t of proto.initializer ?? []) {
    const name = t.name!;
    if (!isExternal(t)) {
      constants.push(values.set(readLiteral(t, name)));
      continue;
    }
    const type = { name, dtype: dtypeOf(t.dataType, name), shape: dimsOf(t) };
    parameters.push(values.set({ kind: 'parameter', ...type, trainable: false, init: 'checkpoint' }));
    weights.set(name, externalRange(t));
  }
  return { weights, parameters, constants };
}

/** The graph of a file of ours and the byte ranges of its frozen parameters. */
export function readOwn(
  proto: onnx.IGraphProto,
  file: string,
  trainable: ReadonlySet<string>,
): { graph: Graph; weights: ReadonlyMap<string, ExternalTensor> } {
  const values = new Values(proto);
  const { weights, parameters, constants } = readInitialisers(proto, values);
  const inputs: Input[] = [];
  for (const info of proto.input ?? []) {
    const type = { name: info.name!, ...infoType(info) };
    if (trainable.has(type.name))
      parameters.push(values.set({ kind: 'parameter', ...type, trainable: true, init: 'checkpoint' }));
    else inputs.push(values.set({ kind: 'input', ...type }));
  }
  const nodes: Node[] = [];
  for (const n of proto.node ?? []) {
    const where = `${file}, node ${n.name}`;
    // an alias: see Names in write.ts
    if (n.opType === 'Identity') values.set(values.read(n.input?.[0] ?? '', where), n.output![0]!);
    else nodes.push(readNode(n, values, where));
  }
  const outputs = Object.fromEntries(
    (proto.output ?? []).map(({ name }) => [name!, values.read(name!, `${file}, output ${name}`)]),
  );
  return { graph: { inputs, parameters, constants, nodes, outputs }, weights };
}
