/** @file AdamW with decoupled weight decay, as a loop over typed arrays. */
import { adamWConstants } from '../../graph-builder/models/optimizer.js';

export interface AdamWOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
}

/** The paper's settings, which are PyTorch's but for the decay. */
export const adamWDefaults: AdamWOptions = { ...adamWConstants, weightDecay: 0.05 };

/** A trainable tensor with its two moments, float32 of equal length. */
export interface OptimizedTensor {
  readonly value: Float32Array;
  readonly expAvg: Float32Array;
  readonly expAvgSq: Float32Array;
}

/** Moments below float32's normal range are stored as 0: denormal ones slow the loop where none are flushed. */
const TINY = 2 ** -126;

/**
 * One AdamW update in place.
 *
 *   m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², p ← p·(1 − lr·decay) − lr·m̂/(√v̂ + ε)
 *
 * `gradientScale` multiplies the gradient first: it undoes the loss scale and clips. `step` counts from 1.
 * Source: Loshchilov and Hutter 2019 (arXiv:1711.05101), algorithm 2; PyTorch's AdamW.
 */
export function adamWStep(
  { value, expAvg, expAvgSq }: OptimizedTensor,
  gradient: Float32Array,
  { lr, step, gradientScale }: { lr: number; step: number; gradientScale: number },
  { beta1, beta2, epsilon, weightDecay }: AdamWOptions,
): void {
  const keep = 1 - lr * weightDecay;
  const rate = lr / (1 - beta1 ** step);
  const unbias = 1 / Math.sqrt(1 - beta2 ** step);
  for (let i = 0; i < value.length; i++) {
    const g = gradient[i]! * gradientScale;
    const m = beta1 * expAvg[i]! + (1 - beta1) * g;
    const v = beta2 * expAvgSq[i]! + (1 - beta2) * g * g;
    expAvg[i] = m < TINY && m > -TINY ? 0 : m;
    expAvgSq[i] = v < TINY ? 0 : v;
    value[i] = value[i]! * keep - (rate * m) / (Math.sqrt(v) * unbias + epsilon);
  }
}

/** Sum of squares in float64. */
export function sumOfSquares(values: Float32Array): number {
  // four sums at once: the additions do not wait for each other
  let [a, b, c, d] = [0, 0, 0, 0];
  const whole = values.length - (values.length % 4);
  for (let i = 0; i < whole; i += 4) {
    a += values[i]! * values[i]!;
    b += values[i + 1]! * values[i + 1]!;
    c += values[i + 2]! * values[i + 2]!;
    d += values[i + 3]! * values[i + 3]!;
  }
  for (let i = whole; i < values.length; i++) a += values[i]! * values[i]!;
  return a + b + c + d;
}
