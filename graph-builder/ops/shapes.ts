/** @file Operators that move data without computing. */
import { ShapeError } from '../errors.js';
import { broadcast, difference, END, product, quotient, sameShape, sum } from '../ir/dim.js';
import type { Dim, Shape, Value } from '../ir/types.js';
import { axisOf, defineOp, describe, type Unary } from './define.js';

/** What ONNX's target shape (0 = copy this axis, -1 = what is left) makes of `input`. */
function resolveShape(x: Value, target: readonly number[]): Shape {
  const shape: Dim[] = target.map((d, i) => (d === 0 ? x.shape[i]! : d));
  const free = target.indexOf(-1);
  if (free < 0) return shape;
  const known = product(shape.filter((_, i) => i !== free));
  const rest = quotient(product(x.shape), known);
  if (rest === undefined) {
    throw new ShapeError(
      `cannot reshape to [${target}]`,
      describe('Reshape', [x]),
      'make the product of the axes equal',
    );
  }
  return shape.map((d, i) => (i === free ? rest : d));
}

/**
 * The same elements under another shape: `shape` as a constant (0 copies an axis, -1 is what is left), or an
 * int64 graph input that describes it.
 *
 * Source: ONNX operator Reshape, opset 14, allowzero 0.
 */
export const Reshape = defineOp<
  readonly [Value] | readonly [Value, Value & { readonly describes?: Shape }],
  { readonly shape?: readonly number[] }
>({
  asInputs: ['shape'],
  infer: ([x, fed], { shape }) => {
    const result = shape ? resolveShape(x, shape) : fed?.describes;
    if (!result || product(result) !== product(x.shape)) {
      throw new ShapeError(
        `cannot reshape to [${result}]`,
        describe('Reshape', [x]),
        'make the product of the axes equal',
      );
    }
    return [{ dtype: x.dtype, shape: result }];
  },
});

/** Source: ONNX operator Transpose, opset 13. */
export const Transpose = defineOp<Unary, { readonly perm: readonly number[] }>({
  infer: ([x], { perm }) => {
    const axes = new Set(perm);
    if (perm.length !== x.shape.length || x.shape.some((_, i) => !axes.has(i))) {
      throw new ShapeError(
        `perm [${perm}] does not fit`,
        describe('Transpose', [x]),
        'give one entry an axis',
      );
    }
    return [{ dtype: x.dtype, shape: perm.map((p) => x.shape[p]!) }];
  },
});

/** Source: ONNX operator Concat, opset 13. */
export const Concat = defineOp<readonly Value[], { readonly axis: number }>({
  infer: (inputs, { axis }) => {
    const first = inputs[0]!;
    const at = axisOf('Concat', inputs, axis);
    const others = (v: Value) => v.shape.filter((_, i) => i !== at);
    if (inputs.some((v) => !sameShape(others(v), others(first)) || v.dtype !== first.dtype)) {
      throw new ShapeError(
        'only the joined axis may differ',
        describe('Concat', inputs),
        `check axis ${axis}`,
      );
    }
    const joined = sum(inputs.map((v) => v.shape[at]!));
    return [{ dtype: first.dtype, shape: first.shape.map((d, i) => (i === at ? joined : d)) }];
  },
});

/** Cuts one axis into parts of the given lengths. Source: ONNX operator Split, opset 18. */
export const Split = defineOp<Unary, { readonly axis: number; readonly split: readonly number[] }>({
  asInputs: ['split'],
  infer: ([x], { axis, split }) => {
    const at = axisOf('Split', [x], axis);
    if (sum(split) !== x.shape[at]) {
      throw new ShapeError(
        `parts [${split}] do not add up`,
        describe('Split', [x]),
        `their sum must be ${x.shape[at]}`,
      );
    }
    return split.map((part) => ({ dtype: x.dtype, shape: x.shape.map((d, i) => (i === at ? part : d)) }));
  },
});

/** Length of `length` between `start` and `end`, both from the front, or from the back if negative. */
function sliceLength(length: Dim, start: number, end: number): Dim | undefined {
  if (typeof length === 'number') {
    const at = (i: number) => Math.min(Math.max(i < 0 ? i + length : i, 0), length);
    return Math.max(at(end) - at(start), 0);
  }
  if (start >= 0 && end > 0 && end < END) return end - start;
  if (start < 0 && end === END) return -start;
  if (start >= 0 && end === END) return difference(length, start);
  return start >= 0 && end < 0 ? difference(length, start - end) : undefined;
}

/**
 * A range of some axes, step 1. An axis of unknown length must be as long as the range says.
 *
 * Source: ONNX operator Slice, opset 13.
 */
export const Slice = defineOp<
  Unary,
  { readonly starts: readonly number[]; readonly ends: readonly number[]; readonly axes: readonly number[] }
>({
  asInputs: ['starts', 'ends', 'axes'],
  infer: ([x], { starts, ends, axes }) => {
    const shape = [...x.shape];
    axes.forEach((axis, i) => {
      const at = axisOf('Slice', [x], axis);
      const length = sliceLength(x.shape[at]!, starts[i]!, ends[i]!);
      if (length === undefined) {
        throw new ShapeError(
          `the length of axis ${axis} between ${starts[i]} and ${ends[i]} is not known`,
          describe('Slice', [x]),
          'export the model with this axis fixed',
        );
      }
      shape[at] = length;
    });
    return [{ dtype: x.dtype, shape }];
  },
});

/** Repeats axes of length 1 to a fixed shape. Source: ONNX operator Expand, opset 13. */
export const Expand = defineOp<Unary, { readonly shape: readonly number[] }>({
  asInputs: ['shape'],
  infer: ([x], { shape }) => {
    if (!sameShape(broadcast(x.shape, shape) ?? [], shape)) {
      throw new ShapeError(
        `cannot expand to [${shape}]`,
        describe('Expand', [x]),
        'only axes of length 1 can be repeated',
      );
    }
    return [{ dtype: x.dtype, shape }];
  },
});
