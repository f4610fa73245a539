/** @file One node of a foreign model: its attributes and operands, and what its translation makes. */
import type { onnx } from 'onnx-proto';
import type { Attribute, Constant, Shape, Value } from '../../ir/types.js';
import type { AttrsOf, InputsOf, OpName } from '../../ops/registry.js';
import { bad, plainAttribute, readLiteral } from '../tensors.js';
import type { Emitter } from './emitter.js';
import type { Entry } from './entries.js';
import { isKnown, type Known, type Operand } from './known.js';

export class Site {
  readonly op: string;
  readonly domain: string;
  /** names of the outputs; '' for one that is not wanted */
  readonly outputs: readonly string[];
  /** "model.onnx, node /layer/MatMul", for messages */
  readonly where: string;
  private readonly name: string;
  private readonly attributes: ReadonlyMap<string, onnx.IAttributeProto>;
  private readonly taken = new Set<string>();

  constructor(
    proto: onnx.INodeProto,
    readonly inputs: readonly Operand[],
    private readonly emitter: Emitter,
    file: string,
    readonly opset: number,
  ) {
    this.op = proto.opType ?? '';
    this.domain = proto.domain === 'ai.onnx' ? '' : (proto.domain ?? '');
    this.outputs = proto.output ?? [];
    this.name = proto.name || this.outputs[0] || this.op;
    this.where = `${file}, node ${this.name}`;
    this.attributes = new Map((proto.attribute ?? []).map((a) => [a.name ?? '', a]));
  }

  /** Refuses the node. */
  bad = (what: string, remedy?: string) => bad(what, this.where, remedy);

  /** Takes an attribute: one that nobody takes is an error, see {@link checkAttributes}. */
  private take(name: string): onnx.IAttributeProto | undefined {
    this.taken.add(name);
    return this.attributes.get(name);
  }

  private plain(name: string): Attribute | undefined {
    const attribute = this.take(name);
    if (!attribute) return undefined;
    const value = plainAttribute(attribute);
    if (value === undefined) throw this.bad(`attribute ${name} has a type that is not supported`);
    return value;
  }

  number(name: string, fallback: number): number {
    const value = this.plain(name) ?? fallback;
    if (typeof value !== 'number') throw this.bad(`attribute ${name} is no number`);
    return value;
  }

  flag = (name: string, fallback: 0 | 1): 0 | 1 => (this.number(name, fallback) ? 1 : 0);

  numbers(name: string): readonly number[] | undefined {
    const value = this.plain(name);
    if (value !== undefined && !Array.isArray(value))
      throw this.bad(`attribute ${name} is no list of numbers`);
    return value as readonly number[] | undefined;
  }

  text(name: string, fallback: string): string {
    return String(this.plain(name) ?? fallback);
  }

  tensor(name: string): Constant | undefined {
    const attribute = this.take(name);
    return attribute?.t ? readLiteral(attribute.t, this.outputs[0]) : undefined;
  }

  /** Attributes that change nothing here. */
  ignore(...names: readonly string[]): void {
    for (const name of names) this.taken.add(name);
  }

  /** @throws {FileError} naming an attribute that the translation did not look at. */
  checkAttributes(): void {
    for (const name of this.attributes.keys())
      if (!this.taken.has(name)) throw this.bad(`${this.op} with attribute ${name} is not supported`);
  }

  /** An operand that must be there, as a value of run time. */
  value(i: number): Value {
    const operand = this.inputs[i];
    if (!operand) throw this.bad(`${this.op} lacks its input ${i}`);
    return this.emitter.value(operand);
  }

  optional = (i: number): Value | undefined => (this.inputs[i] ? this.value(i) : undefined);

  /** Entries of an operand that must be known, undefined if it is missing. */
  entries(i: number): readonly Entry[] | undefined {
    const operand = this.inputs[i];
    if (!operand) return undefined;
    if (isKnown(operand)) return operand.data;
    const remedy = 'export the model with fixed shapes, the batch axis aside';
    throw this.bad(`input ${i} (${operand.name}) of ${this.op} is computed at run time`, remedy);
  }

  /** {@link entries} that must be numbers. */
  integers(i: number): readonly number[] | undefined {
    const entries = this.entries(i);
    const open = entries?.findIndex((e) => typeof e !== 'number') ?? -1;
    if (open < 0) return entries as readonly number[] | undefined;
    const what = `input ${i} of ${this.op} depends on the axis length ${entries![open] ?? 'of run time'}`;
    throw this.bad(what, 'export the model with this axis fixed');
  }

  filled = (value: number, shape: readonly number[]): Value => this.emitter.number(value, shape);

  scalar = (value: number): Value => this.filled(value, []);

  /** A known tensor under the name of this node's output. */
  known = ({ dtype, shape, data }: Omit<Known, 'kind' | 'name'>): Known => ({
    kind: 'known',
    name: this.outputs[0]!,
    dtype,
    shape,
    data,
  });

  /** A node on the way, with a name of its own. */
  make<K extends OpName>(op: K, inputs: InputsOf<K>, attrs: AttrsOf<K>): Value {
    return this.emitter.emit(this.name, op, inputs, attrs)[0]!;
  }

  /** The last node: its outputs have the names in the file. */
  finish<K extends OpName>(op: K, inputs: InputsOf<K>, attrs: AttrsOf<K>): readonly Value[] {
    return this.emitter.emit(this.name, op, inputs, attrs, this.outputs);
  }

  /** {@link finish} with an element-wise operator, whose operands may repeat along symbolic axes. */
  finishElementwise(op: OpName, inputs: readonly Operand[]): readonly Value[] {
    return this.finish(op, this.emitter.operands(inputs) as never, {} as never);
  }

  /** The last node: `x` repeated to a shape that may be symbolic. */
  finishSpread = (x: Value, shape: Shape): Value => this.emitter.spread(this.name, x, shape, this.outputs);

  /** A known tensor with its symbolic axes as length 1. */
  literal = (x: Known): Value => this.emitter.literal(x);
}
