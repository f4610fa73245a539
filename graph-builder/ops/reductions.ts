/** @file Reductions over fixed axes. */
import { defineOp, type ReduceAttrs, reducedShape, type Unary } from './define.js';

const reduction = () =>
  defineOp<Unary, ReduceAttrs>({
    asInputs: ['axes'],
    infer: ([x], attrs) => [{ dtype: x.dtype, shape: reducedShape(x.shape, attrs) }],
  });

/** Source: ONNX operators of the same names, opsets 13 (ReduceSum) and 18. */
export const ReduceSum = reduction();
export const ReduceMean = reduction();
export const ReduceMax = reduction();
/** log Σ exp(x), without overflow. */
export const ReduceLogSumExp = reduction();
