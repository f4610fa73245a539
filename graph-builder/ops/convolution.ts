/** @file Windows over the axes behind [batch, channels]: convolution and pooling. */
import { ShapeError } from '../errors.js';
import { product } from '../ir/dim.js';
import type { Dim, Value } from '../ir/types.js';
import { defineOp, describe, reach, type Unary } from './define.js';

type Axes = readonly number[];

/** Entries for each spatial axis; `pads` has those of the starts, then those of the ends. */
export interface WindowAttrs {
  readonly strides: Axes;
  readonly pads: Axes;
  /** default 1 */
  readonly dilations?: Axes;
  readonly [name: string]: number | Axes | undefined;
}

type Weighted = readonly [Value, Value] | readonly [Value, Value, Value];
type ConvAttrs = WindowAttrs & { readonly group: number };

const padding = (pads: Axes, axis: number): number => pads[axis]! + pads[axis + pads.length / 2]!;

/** Lengths of the spatial axes of `x` and of the windows over them, all known. */
function spatial(where: string, x: Value, kernel: readonly Dim[], { strides, pads }: WindowAttrs): number[] {
  const lengths = x.shape.slice(2);
  const rank = kernel.length;
  if (lengths.length !== rank || strides.length !== rank || pads.length !== 2 * rank) {
    const what = `a window of ${rank} axes does not fit the input, the strides [${strides}] or the pads [${pads}]`;
    throw new ShapeError(what, where, 'give one stride and two pads for each axis behind the channels');
  }
  if ([...lengths, ...kernel].some((n) => typeof n !== 'number')) {
    const what = `the length of an axis of [${x.shape}] is not known`;
    throw new ShapeError(what, where, 'export the model with all axes but the batch fixed');
  }
  return lengths as number[];
}

/** Number of windows on each axis. */
function windows(where: string, x: Value, kernel: readonly Dim[], attrs: WindowAttrs): number[] {
  return spatial(where, x, kernel, attrs).map((length, i) => {
    const rest = length + padding(attrs.pads, i) - reach(kernel[i] as number, attrs.dilations?.[i] ?? 1);
    if (rest >= 0) return Math.floor(rest / attrs.strides[i]!) + 1;
    throw new ShapeError(`no window of [${kernel}] fits`, where, 'give a larger input, or more padding');
  });
}

function requireChannels(where: string, channels: Dim, weight: Dim): void {
  if (channels === weight) return;
  throw new ShapeError(`the weight reads ${weight} channels of ${channels}`, where, 'check group and shapes');
}

/**
 * Convolution (cross-correlation), of any number of spatial axes.
 *
 *   x [batch, channels, ...size], w [out, channels / group, ...kernel], bias [out] → y [batch, out, ...windows]
 *
 * Source: ONNX operator Conv, opset 11.
 * @throws {ShapeError} when channels or window do not fit, or a spatial axis is symbolic.
 */
export const Conv = defineOp<Weighted, ConvAttrs>({
  infer: (inputs, attrs) => {
    const [x, w] = inputs;
    const where = describe('Conv', inputs);
    requireChannels(where, x.shape[1]!, product([w.shape[1]!, attrs.group]));
    const size = windows(where, x, w.shape.slice(2), attrs);
    return [{ dtype: x.dtype, shape: [x.shape[0]!, w.shape[0]!, ...size] }];
  },
});

/**
 * The transpose of {@link Conv} with respect to its input: what its gradient is made of.
 *
 *   x [batch, channels, ...size], w [channels, out / group, ...kernel], bias [out] → y [batch, out, ...]
 *
 * Source: ONNX operator ConvTranspose, opset 11.
 */
export const ConvTranspose = defineOp<Weighted, ConvAttrs & { readonly output_padding: Axes }>({
  infer: (inputs, attrs) => {
    const [x, w] = inputs;
    const where = describe('ConvTranspose', inputs);
    requireChannels(where, x.shape[1]!, w.shape[0]!);
    const kernel = w.shape.slice(2) as number[];
    const size = spatial(where, x, kernel, attrs).map((length, i) => {
      const whole = attrs.strides[i]! * (length - 1) + reach(kernel[i]!, attrs.dilations?.[i] ?? 1);
      return whole + attrs.output_padding[i]! - padding(attrs.pads, i);
    });
    return [{ dtype: x.dtype, shape: [x.shape[0]!, product([w.shape[1]!, attrs.group]), ...size] }];
  },
});

/**
 * Largest element of each window, with its place in x's elements counted as one row (int64).
 *
 * Source: ONNX operator MaxPool, opset 12, ceil_mode 0, storage_order 0.
 */
export const MaxPool = defineOp<Unary, WindowAttrs & { readonly kernel_shape: Axes }>({
  optionalOutputs: true,
  infer: ([x], attrs) => {
    const size = windows(describe('MaxPool', [x]), x, attrs.kernel_shape, attrs);
    const shape = [...x.shape.slice(0, 2), ...size];
    return [
      { dtype: x.dtype, shape },
      { dtype: 'int64', shape },
    ];
  },
});
