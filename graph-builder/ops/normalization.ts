/** @file Normalisation. */
import { ShapeError } from '../errors.js';
import { sameShape } from '../ir/dim.js';
import type { Value } from '../ir/types.js';
import { defineOp, describe } from './define.js';

/**
 * Layer normalisation over the last axis.
 *
 *   y = (x − mean) · invStd · scale + bias, invStd = 1/√(var + epsilon)
 *
 * Shapes: x [..., hidden], scale and bias [hidden]. Outputs y [..., hidden] and, for the backward pass,
 * mean and invStd [..., 1].
 * Source: ONNX operator LayerNormalization, opset 17.
 */
export const LayerNormalization = defineOp<
  readonly [Value, Value, Value],
  { readonly axis: -1; readonly epsilon: number }
>({
  floats: ['epsilon'],
  optionalOutputs: true,
  infer: ([x, scale, bias]) => {
    const row = x.shape.slice(-1);
    if (!sameShape(scale.shape, row) || !sameShape(bias.shape, row)) {
      throw new ShapeError(
        'scale and bias must have the length of the last axis',
        describe('LayerNormalization', [x, scale, bias]),
        `pass vectors of length ${row}`,
      );
    }
    const statistics = { dtype: x.dtype, shape: [...x.shape.slice(0, -1), 1] };
    return [{ dtype: x.dtype, shape: x.shape }, statistics, statistics];
  },
});

/**
 * Batch normalisation by stored statistics, channels on axis 1: the form of evaluation.
 *
 *   y = (x − mean) / √(variance + epsilon) · scale + bias
 *
 * Shapes: x [batch, channels, ...]; scale, bias, mean and variance [channels].
 * Source: ONNX operator BatchNormalization, opset 15, training_mode 0.
 */
export const BatchNormalization = defineOp<
  readonly [Value, Value, Value, Value, Value],
  { readonly epsilon: number }
>({
  floats: ['epsilon'],
  infer: (inputs) => {
    const [x, ...rows] = inputs;
    if (x.shape.length < 2 || rows.some((v) => !sameShape(v.shape, [x.shape[1]!]))) {
      throw new ShapeError(
        'scale, bias, mean and variance must have one number a channel',
        describe('BatchNormalization', inputs),
        `pass vectors of length ${x.shape[1]}`,
      );
    }
    return [{ dtype: x.dtype, shape: x.shape }];
  },
});
