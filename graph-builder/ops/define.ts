/** @file What an operator is: its ONNX version, its attributes and its shape rule. */
import { ShapeError } from '../errors.js';
import { broadcast } from '../ir/dim.js';
import type { Attributes, DType, Shape, Value, ValueType } from '../ir/types.js';

export type Inputs = readonly (Value | undefined)[];

/**
 * `I` is the tuple of inputs, `A` the attributes. Where ONNX takes static numbers as inputs (axes, shapes,
 * split sizes), the IR keeps them as attributes; `asInputs` lists them in the order of ONNX's inputs.
 */
export interface OpDefinition<I extends Inputs = Inputs, A extends Attributes = Attributes> {
  readonly domain?: 'com.microsoft';
  /** inputs that ONNX numbers after the IR's own, taken from the attributes of these names */
  readonly asInputs?: readonly string[];
  /** outputs after the first may be left out at the end */
  readonly optionalOutputs?: true;
  /** attributes that ONNX stores as floats */
  readonly floats?: readonly string[];
  /** @throws {ShapeError} when the inputs do not fit */
  infer(inputs: I, attrs: A): readonly ValueType[];
}

export const defineOp = <I extends Inputs, A extends Attributes = Record<never, never>>(
  definition: OpDefinition<I, A>,
): OpDefinition<I, A> => definition;

export type Unary = readonly [Value];
export type Binary = readonly [Value, Value];

/** "MatMul(a [2,3], b [4])", for error messages. */
export const describe = (op: string, inputs: Inputs): string =>
  `${op}(${inputs.map((v) => (v ? `${v.name} ${v.dtype}[${v.shape}]` : 'none')).join(', ')})`;

/** Attributes as JSON, in one order however they were written. */
export const formatAttributes = (attrs: Attributes): string =>
  JSON.stringify(attrs, Object.keys(attrs).sort());

/** Result of an element-wise operator of two values, with `dtype` or theirs. */
export function broadcastType(op: string, [a, b]: Binary, dtype?: DType): ValueType {
  const shape = broadcast(a.shape, b.shape);
  if (!shape || a.dtype !== b.dtype) {
    throw new ShapeError(
      'shapes or dtypes do not broadcast',
      describe(op, [a, b]),
      'make the trailing axes equal or 1',
    );
  }
  return { dtype: dtype ?? a.dtype, shape };
}

/**
 * `axis` of the first input, counted from the front.
 *
 * @throws {ShapeError} when it has no such axis.
 */
export function axisOf(op: string, inputs: Inputs, axis: number): number {
  const rank = inputs[0]!.shape.length;
  if (Number.isInteger(axis) && axis >= -rank && axis < rank) return axis < 0 ? axis + rank : axis;
  throw new ShapeError(
    `axis ${axis} is out of range`,
    describe(op, inputs),
    `choose one between ${-rank} and ${rank - 1}`,
  );
}

export interface ReduceAttrs {
  readonly axes: readonly number[];
  readonly keepdims: 0 | 1;
  readonly [name: string]: number | readonly number[];
}

export function reducedShape(shape: Shape, { axes, keepdims }: ReduceAttrs): Shape {
  const gone = new Set(axes.map((a) => (a < 0 ? a + shape.length : a)));
  return keepdims ? shape.map((d, i) => (gone.has(i) ? 1 : d)) : shape.filter((_, i) => !gone.has(i));
}

/** Elements of the input between the first and the last that a window of `size` reads, both included. */
export const reach = (size: number, dilation: number): number => dilation * (size - 1) + 1;
