/** @file Reductions over fixed axes. */
import { axisOf, type Binary, defineOp, type ReduceAttrs, reducedShape, type Unary } from './define.js';

const reduction = (op: string) =>
  defineOp<Unary, ReduceAttrs>({
    asInputs: ['axes'],
    infer: ([x], { axes, keepdims }) => {
      const fromFront = axes.map((axis) => axisOf(op, [x], axis));
      return [{ dtype: x.dtype, shape: reducedShape(x.shape, { axes: fromFront, keepdims }) }];
    },
  });

/** Source: ONNX operators of the same names, opsets 13 (ReduceSum) and 18. */
export const ReduceSum = reduction('ReduceSum');
export const ReduceMean = reduction('ReduceMean');
export const ReduceMax = reduction('ReduceMax');
/** log Σ exp(x), without overflow. */
export const ReduceLogSumExp = reduction('ReduceLogSumExp');

/**
 * Sums of the elements up to each one, along the axis that an integer scalar names.
 *
 * Source: ONNX operator CumSum, opset 14.
 */
export const CumSum = defineOp<Binary, { readonly exclusive: 0 | 1; readonly reverse: 0 | 1 }>({
  infer: ([x]) => [{ dtype: x.dtype, shape: x.shape }],
});
