/** @file AdamW with decoupled weight decay. */
import { adamWConstants } from '../../graph-builder/models/optimizer.js';
import type { AdamWConstants, KernelMemory } from './kernels/memory.js';
import { inChunks, sharedMemory } from './kernels/passes.js';
import { homeOf } from './kernels/resident.js';

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

/**
 * One AdamW update in place.
 *
 *   m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², p ← p·(1 − lr·decay) − lr·m̂/(√v̂ + ε)
 *
 * `gradientScale` multiplies the gradient first: it undoes the loss scale and clips. `step` counts from 1.
 * In float32, as PyTorch computes; the same bits wherever the arrays lie and whether or not the thread flushes denormal
 * numbers: below 2^-126 values and moments are 0. Gradients beyond 8e15 overflow the second moment.
 * Source: Loshchilov and Hutter 2019 (arXiv:1711.05101), algorithm 2; PyTorch's AdamW.
 */
export function adamWStep(
  tensor: OptimizedTensor,
  gradient: Float32Array,
  { lr, step, gradientScale }: { lr: number; step: number; gradientScale: number },
  { beta1, beta2, epsilon, weightDecay }: AdamWOptions,
): void {
  const rate = lr / (1 - beta1 ** step);
  const unbias = 1 / Math.sqrt(1 - beta2 ** step);
  const constants: AdamWConstants = [
    gradientScale,
    beta1,
    1 - beta1,
    beta2,
    1 - beta2,
    lr * weightDecay,
    rate,
    unbias,
    epsilon,
  ];
  const home = homeOf(tensor);
  const done = home ? updateInPlace(home, tensor, gradient, constants) : 0;
  updateInChunks(home ?? sharedMemory(), tensor, gradient, constants, done);
}

/** @returns how many numbers it updated, all but the last ones that fill no vector */
function updateInPlace(
  { run, chunks }: KernelMemory,
  { value, expAvg, expAvgSq }: OptimizedTensor,
  gradient: Float32Array,
  constants: AdamWConstants,
): number {
  const [{ at, floats }] = chunks;
  const whole = gradient.length - (gradient.length % 4);
  inChunks(whole, (start, end) => {
    floats.set(gradient.subarray(start, end));
    const [p, m, v] = [value, expAvg, expAvgSq].map((array) => array.byteOffset + 4 * start);
    run.adamW(end - start, at, p!, m!, v!, ...constants);
  });
  return whole;
}

function updateInChunks(
  { run, chunks }: KernelMemory,
  { value, expAvg, expAvgSq }: OptimizedTensor,
  gradient: Float32Array,
  constants: AdamWConstants,
  from: number,
): void {
  const [g, p, m, v] = chunks;
  const held = [
    [value, p],
    [expAvg, m],
    [expAvgSq, v],
  ] as const;
  const update = (start: number, end: number): void => {
    g.floats.set(gradient.subarray(start, end));
    for (const [array, { floats }] of held) floats.set(array.subarray(start, end));
    run.adamW(end - start, g.at, p.at, m.at, v.at, ...constants);
    for (const [array, { floats }] of held) array.set(floats.subarray(0, end - start), start);
  };
  inChunks(gradient.length, update, from);
}
