/** @file Builds a graph node by node. Equal nodes are made once; nothing is changed in place. */
import { ShapeError } from '../errors.js';
import { describe, formatAttributes, type Inputs } from '../ops/define.js';
import { type AttrsOf, definitionOf, type InputsOf, type OpName } from '../ops/registry.js';
import { sameShape } from './dim.js';
import { onnxTypes } from './dtypes.js';
import {
  type Attributes,
  type Constant,
  type Dim,
  type DType,
  type Graph,
  type Initialiser,
  type Input,
  isParameter,
  type Node,
  type Parameter,
  type Shape,
  type Value,
} from './types.js';

type Scalar = Value | number;

export class GraphBuilder {
  private readonly inputs: Input[] = [];
  private readonly parameters = new Map<string, Parameter>();
  private readonly constants = new Map<string, Constant>();
  private readonly nodes: Node[] = [];
  private readonly producers = new Map<Value, Node>();
  private readonly made = new Map<string, Node>();
  private readonly names = new Set<string>();
  private readonly ids = new Map<Value, number>();
  private scope: string[] = [];

  /** Continues `graph`; values of it may be used as operands. */
  constructor(graph?: Graph) {
    if (!graph) return;
    this.inputs.push(...graph.inputs);
    for (const p of graph.parameters) this.parameters.set(p.name, p);
    for (const c of graph.constants) this.constants.set(constantKey(c.dtype, c.shape, c.data), c);
    for (const node of graph.nodes) this.append(node);
  }

  /** The graph so far, with these outputs. */
  finish(outputs: Readonly<Record<string, Value>>): Graph {
    return {
      inputs: [...this.inputs],
      parameters: [...this.parameters.values()],
      constants: [...this.constants.values()],
      nodes: [...this.nodes],
      outputs,
    };
  }

  /** Names of values made inside `build` start with `name/`. */
  within<T>(name: string, build: () => T): T {
    this.scope.push(name);
    try {
      return build();
    } finally {
      this.scope.pop();
    }
  }

  input(name: string, dtype: DType, shape: Shape, describes?: Shape): Input {
    const existing = this.inputs.find((v) => v.name === name);
    if (existing) return existing;
    const input: Input = { kind: 'input', name, dtype, shape, ...(describes && { describes }) };
    this.inputs.push(input);
    return input;
  }

  findInput = (name: string): Input | undefined => this.inputs.find((v) => v.name === name);

  /** int64 input that carries the run-time `shape`; {@link reshape} uses it where two axes are symbolic. */
  shapeInput(name: string, shape: Shape): Input {
    return this.input(name, 'int64', [shape.length], shape);
  }

  /** A weight by its reference name; asking twice gives the same value (tied weights). */
  parameter(name: string, shape: Shape, init: Initialiser = 'checkpoint', trainable = false): Parameter {
    return this.stored({ kind: 'parameter', name, dtype: 'float32', shape, trainable, init });
  }

  /** A frozen tensor of any dtype from the weights' files, e.g. an 8-bit copy of a weight. */
  stored(parameter: Parameter): Parameter {
    const { name } = parameter;
    const existing = this.parameters.get(name);
    if (existing) return existing;
    this.parameters.set(name, parameter);
    return parameter;
  }

  hasParameter(name: string): boolean {
    return this.parameters.has(name);
  }

  constant(data: readonly number[], shape: readonly number[], dtype: DType = 'float32'): Constant {
    const key = constantKey(dtype, shape, data);
    let constant = this.constants.get(key);
    if (!constant) {
      constant = { kind: 'constant', name: this.freshConstantName(), dtype, shape, data };
      this.constants.set(key, constant);
    }
    return constant;
  }

  scalar(value: number, dtype: DType = 'float32'): Constant {
    return this.constant([value], [], dtype);
  }

  /** Any operator with one used output; see {@link apply} for several. */
  op<K extends OpName>(op: K, inputs: InputsOf<K>, attrs: AttrsOf<K>): Value {
    return this.apply(op, inputs, attrs)[0]!;
  }

  /** Any operator, all outputs. An equal node that exists already is reused. */
  apply<K extends OpName>(op: K, inputs: InputsOf<K>, attrs: AttrsOf<K>): readonly Value[] {
    const operands = inputs as Inputs;
    const key = this.keyOf(op, operands, attrs);
    const known = this.made.get(key);
    if (known) return known.outputs;
    const definition = definitionOf(op);
    const types = definition.infer(operands, attrs);
    const at = this.freshName(op);
    const outputs = types.map((type, i) => ({ name: i === 0 ? at : `${at}.${i}`, ...type }));
    this.append({ op, inputs: operands, attrs, outputs } as unknown as Node);
    return outputs;
  }

  /** Keeps the names of a graph's values from new nodes, before its nodes are copied. */
  reserveNames(graph: Graph): void {
    for (const node of graph.nodes) for (const v of node.outputs) this.names.add(v.name);
  }

  /** A node of another graph with other inputs; values and names stay where nothing changed. */
  copy(node: Node, inputs: Inputs): readonly Value[] {
    if (inputs.every((v, i) => v === node.inputs[i])) {
      this.append(node);
      return node.outputs;
    }
    const types = definitionOf(node.op).infer(inputs, node.attrs);
    const outputs = node.outputs.map((v, i) => ({ name: v.name, ...types[i]! }));
    this.append({ ...node, inputs, outputs });
    return outputs;
  }

  /** The first output of a node that exists already, or undefined. */
  find<K extends OpName>(op: K, inputs: InputsOf<K>, attrs: AttrsOf<K>): Value | undefined {
    return this.made.get(this.keyOf(op, inputs as Inputs, attrs))?.outputs[0];
  }

  /** The node that computes `value`, if one does. */
  producerOf(value: Value): Node | undefined {
    return this.producers.get(value);
  }

  add = (a: Value, b: Scalar): Value => this.op('Add', [a, this.value(b)], {});
  sub = (a: Scalar, b: Scalar): Value => this.op('Sub', [this.value(a), this.value(b)], {});
  mul = (a: Value, b: Scalar): Value => (b === 1 ? a : this.op('Mul', [a, this.value(b)], {}));
  div = (a: Value, b: Scalar): Value => this.op('Div', [a, this.value(b)], {});
  matmul = (a: Value, b: Value): Value => this.op('MatMul', [a, b], {});

  gemm(a: Value, b: Value, attrs: { readonly transA: 0 | 1; readonly transB: 0 | 1 }, row?: Value): Value {
    return this.op('Gemm', row ? [a, b, row] : [a, b], attrs);
  }

  /** y = x·Wᵀ + bias; x [rows, in], W [out, in] as PyTorch stores it. */
  linear(x: Value, weight: Value, bias?: Value): Value {
    return this.gemm(x, weight, { transA: 0, transB: 1 }, bias);
  }

  cast = (x: Value, to: DType): Value => (x.dtype === to ? x : this.op('Cast', [x], { to: onnxTypes[to] }));

  gather = (data: Value, indices: Value, axis = 0): Value => this.op('Gather', [data, indices], { axis });

  reduceSum(x: Value, axes: readonly number[], keepdims: 0 | 1 = 0): Value {
    return axes.length === 0 ? x : this.op('ReduceSum', [x], { axes, keepdims });
  }

  reduceMean = (x: Value, axes: readonly number[], keepdims: 0 | 1 = 0): Value =>
    this.op('ReduceMean', [x], { axes, keepdims });

  /** Transposes of transposes are composed; the identity is dropped. */
  transpose(x: Value, perm: readonly number[]): Value {
    const source = this.producers.get(x);
    if (source?.op === 'Transpose') {
      const inner = (source as Node<'Transpose'>).attrs.perm;
      return this.transpose(
        source.inputs[0]!,
        perm.map((p) => inner[p]!),
      );
    }
    return perm.every((p, i) => p === i) ? x : this.op('Transpose', [x], { perm });
  }

  /** [..., m, n] → [..., n, m] */
  swapLast(x: Value): Value {
    const rank = x.shape.length;
    const perm = x.shape.map((_, i) => i);
    return this.transpose(x, [...perm.slice(0, -2), rank - 1, rank - 2]);
  }

  /**
   * Reshapes to a shape whose axes may be symbolic. One unknown axis is written as -1, an axis that stays in
   * its place as 0; where that does not settle it, a {@link shapeInput} of that shape is used.
   */
  reshape(x: Value, shape: Shape): Value {
    if (sameShape(x.shape, shape)) return x;
    const target = shape.map((dim, i) => (typeof dim === 'string' && dim === x.shape[i] ? 0 : dim));
    if (target.filter((d) => typeof d === 'string').length <= 1) {
      return this.op('Reshape', [x], { shape: target.map((d: Dim) => (typeof d === 'string' ? -1 : d)) });
    }
    const fed = this.inputs.find((v) => v.describes && sameShape(v.describes, shape));
    if (!fed) {
      const remedy = 'export the model with one of the axes fixed';
      throw new ShapeError(`no shape input describes [${shape}]`, describe('Reshape', [x]), remedy);
    }
    return this.op('Reshape', [x, fed], {});
  }

  /** `x` repeated to the shape of `like`. */
  expandLike(x: Value, like: Value): Value {
    if (sameShape(x.shape, like.shape)) return x;
    if (like.shape.every((d) => typeof d === 'number')) {
      return this.op('Expand', [x], { shape: like.shape as readonly number[] });
    }
    return this.add(this.sub(like, like), x); // Expand would need a computed shape
  }

  private value = (x: Scalar): Value => (typeof x === 'number' ? this.scalar(x) : x);

  private freshName(op: string): string {
    const prefix = `${this.scope.map((s) => `${s}/`).join('')}${op}_`;
    let index = this.nodes.length;
    while (this.names.has(`${prefix}${index}`)) index += 1;
    return `${prefix}${index}`;
  }

  /** A pruned graph has gaps in its numbers, one that was read has names of its own. */
  private freshConstantName(): string {
    const taken = new Set([...this.constants.values()].map((c) => c.name));
    let index = this.constants.size;
    while (taken.has(`constant_${index}`)) index += 1;
    return `constant_${index}`;
  }

  private keyOf(op: OpName, operands: Inputs, attrs: Attributes): string {
    return `${op} ${operands.map((v) => (v ? this.idOf(v) : '')).join()} ${formatAttributes(attrs)}`;
  }

  private append(node: Node): void {
    this.nodes.push(node);
    this.made.set(this.keyOf(node.op, node.inputs, node.attrs), node);
    for (const output of node.outputs) {
      this.producers.set(output, node);
      this.names.add(output.name);
    }
  }

  private idOf(value: Value): number {
    if (isParameter(value) && !this.parameters.has(value.name)) {
      throw new Error(`internal: parameter ${value.name} belongs to another graph`);
    }
    let id = this.ids.get(value);
    if (id === undefined) {
      id = this.ids.size;
      this.ids.set(value, id);
    }
    return id;
  }
}

const constantKey = (dtype: DType, shape: Shape, data: readonly number[]): string =>
  `${dtype}[${shape}]${data.join()}`;
