/** @file The graph that a foreign model becomes, node by node. */
import { broadcast, sameShape } from '../../ir/dim.js';
import { onnxTypes } from '../../ir/dtypes.js';
import type { Constant, Dim, DType, Input, Node, Shape, Value } from '../../ir/types.js';
import type { Inputs } from '../../ops/define.js';
import { type AttrsOf, definitionOf, type InputsOf, type OpName } from '../../ops/registry.js';
import { bad } from '../tensors.js';
import { isKnown, type Known, type Operand, storedShape } from './known.js';
import { constantTarget } from './target-shape.js';

export class Emitter {
  readonly nodes: Node[] = [];
  private readonly known = new Map<string, Constant>();
  private readonly zeros = new Map<string, Value>();
  private count = 0;

  constructor(private readonly inputs: readonly Input[]) {}

  get constants(): readonly Constant[] {
    return [...this.known.values()];
  }

  /** Appends a node; outputs without a name in the file get one after the node that they stand for. */
  emit<K extends OpName>(
    name: string,
    op: K,
    inputs: InputsOf<K>,
    attrs: AttrsOf<K>,
    outputNames: readonly string[] = [],
  ): readonly Value[] {
    const outputs = definitionOf(op)
      .infer(inputs as Inputs, attrs)
      .map((type, i) => ({ name: outputNames[i] || this.freshName(name, op), ...type }));
    this.nodes.push({ op, inputs, attrs, outputs, name } as unknown as Node);
    return outputs;
  }

  number(value: number, shape: readonly number[], dtype: DType = 'float32'): Constant {
    const data = new Array(shape.reduce((p, n) => p * n, 1)).fill(value);
    return this.constant(this.freshName(dtype, String(value)), dtype, shape, data);
  }

  /** Equal constants are one. */
  private constant(name: string, dtype: DType, shape: readonly number[], data: readonly number[]): Constant {
    const key = `${dtype}[${shape}]${data.join()}`;
    const made = this.known.get(key) ?? { kind: 'constant', name, dtype, shape, data };
    this.known.set(key, made);
    return made;
  }

  /** A known tensor as a constant, symbolic axes as length 1. */
  literal(x: Known): Constant {
    const open = x.data.find((e) => typeof e !== 'number');
    if (open !== undefined || x.data.includes(undefined)) {
      const remedy = 'export the model with this axis fixed';
      throw bad(`its numbers depend on an axis length: ${open ?? 'one of run time'}`, x.name, remedy);
    }
    return this.constant(x.name, x.dtype, storedShape(x.shape), x.data as readonly number[]);
  }

  /** An operand as a value of its whole shape. */
  value(x: Known | Value): Value {
    return isKnown(x) ? this.spread(x.name, this.literal(x), x.shape) : x;
  }

  /** Operands of an element-wise operator: a known one repeats along symbolic axes only if no other does. */
  operands(inputs: readonly Operand[]): readonly (Value | undefined)[] {
    const shapes = inputs.flatMap((x) => (x ? [x.shape] : []));
    const short = inputs.map((x) => (isKnown(x) ? this.literal(x) : x));
    const whole = commonShape(shapes);
    const result = commonShape(short.flatMap((x) => (x ? [x.shape] : [])));
    if (!whole || !result || sameShape(whole, result)) return short;
    return inputs.map((x) => x && this.value(x));
  }

  /**
   * `x` repeated to `shape`, the last node under `outputNames`. Along a symbolic axis zeros of that length are
   * added: Expand would need a shape that is computed.
   */
  spread(name: string, x: Value, shape: Shape, outputNames: readonly string[] = []): Value {
    const whole = broadcast(x.shape, shape);
    if (!whole || sameShape(x.shape, whole)) return x;
    if (whole.every((d) => typeof d === 'number')) {
      return this.emit(name, 'Expand', [x], { shape: whole as readonly number[] }, outputNames)[0]!;
    }
    const lead = whole.length - x.shape.length;
    const grows = (d: Dim, i: number) => d !== (x.shape[i - lead] ?? 1);
    const fixed = whole.map((d, i) => (typeof d === 'number' && grows(d, i) ? d : 1));
    const zeros = whole.flatMap((d, i) =>
      typeof d === 'string' && grows(d, i) ? [this.zerosAlong(name, d, i, whole.length, x.dtype)] : [],
    );
    const all = fixed.every((d) => d === 1) ? zeros : [this.number(0, fixed, x.dtype), ...zeros];
    const op = x.dtype === 'bool' ? 'Or' : 'Add';
    return all.reduce(
      (sum, zero, i) => this.emit(name, op, [sum, zero], {}, i === all.length - 1 ? outputNames : [])[0]!,
      x,
    );
  }

  /** Zeros of length `axis` at place `at` of `rank` axes: of an input that has the axis, what is less than itself. */
  private zerosAlong(name: string, axis: string, at: number, rank: number, dtype: DType): Value {
    const key = `${axis} ${at} ${rank} ${dtype}`;
    const made = this.zeros.get(key);
    if (made) return made;
    const source = this.inputs.find((v) => v.shape.includes(axis));
    if (!source) throw bad(`no input has the axis ${axis}`, name, 'export the model with this axis fixed');
    const others = source.shape.map((_, i) => i).filter((i) => i !== source.shape.indexOf(axis));
    const range = { starts: others.map(() => 0), ends: others.map(() => 1), axes: others };
    const line = others.length === 0 ? source : this.emit(name, 'Slice', [source], range)[0]!;
    const shape = Array.from({ length: rank }, (_, i) => (i === at ? axis : 1));
    const target = constantTarget(line.shape, shape)!;
    const row = this.emit(name, 'Reshape', [line], { shape: target })[0]!;
    const less = this.emit(name, 'Less', [row, row], {})[0]!;
    const zeros = dtype === 'bool' ? less : this.emit(name, 'Cast', [less], { to: onnxTypes[dtype] })[0]!;
    this.zeros.set(key, zeros);
    return zeros;
  }

  private freshName(name: string, op: string): string {
    this.count += 1;
    return `${name}/${op}_${this.count}`;
  }
}

function commonShape(shapes: readonly Shape[]): Shape | undefined {
  let result: Shape | undefined = [];
  for (const shape of shapes) result = result && broadcast(result, shape);
  return result;
}
