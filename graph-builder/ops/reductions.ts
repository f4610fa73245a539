/** @file Reductions over fixed axes. */
import { axisOf, defineOp, type ReduceAttrs, reducedShape, type Unary } from './define.js';

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
