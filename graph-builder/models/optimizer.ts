/** @file AdamW and its small helpers as graphs, for devices on which the trained tensors stay between steps. */
import { GraphBuilder } from '../ir/builder.js';
import type { Graph, Value } from '../ir/types.js';

export interface OptimizedShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Numbers of AdamW that do not change while training. */
export interface AdamWConstants {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** PyTorch's, which are the paper's. */
export const adamWConstants: AdamWConstants = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

/** Names of a tensor's inputs; its outputs have `.next` behind them. */
export const momentNames = (name: string) => [`${name}.exp_avg`, `${name}.exp_avg_sq`] as const;
export const gradientName = (name: string): string => `${name}.grad`;
export const nextName = (name: string): string => `${name}.next`;
export const copyName = (name: string): string => `${name}.copy`;

const input = (g: GraphBuilder, name: string, { shape }: OptimizedShape): Value =>
  g.input(name, 'float32', shape);

/** Sum of x². Rows first: float32 sums of a few hundred numbers each, made by many threads at once. */
function sumOfSquares(g: GraphBuilder, x: Value): Value {
  const squares = g.mul(x, x);
  const rows = g.reduceSum(squares, x.shape.length > 1 ? [x.shape.length - 1] : []);
  return g.reduceSum(rows, [...rows.shape.keys()]);
}

/**
 * One AdamW update of all tensors, with clipping by their gradients' common 2-norm.
 *
 *   n ← ‖s·G‖₂ over all gradients G, c ← s·min(1, max_norm / n)
 *   m ← β₁m + (1−β₁)·c·g, v ← β₂v + (1−β₂)·(c·g)², p ← p − decayᵢ·p − rateᵢ·m / (√v·unbias + ε)
 *
 * Inputs: per tensor its value, `.exp_avg`, `.exp_avg_sq` and `.grad`; `gradient_scale` s [], which undoes the loss
 * scale; `max_norm` []; `unbias` [] = 1/√(1−β₂ᵗ); `rates` [tensors] = learning rate/(1−β₁ᵗ) and `decays` [tensors] =
 * learning rate · weight decay, in the order of the tensors. They come from the host, which has float64: 1−β₂ᵗ in
 * float32 keeps four digits at the first steps.
 * Outputs: `gradient_norm` [] (n; not finite: the others are of no use) and `.next` of value and moments.
 * Source: Loshchilov and Hutter 2019 (arXiv:1711.05101), algorithm 2; PyTorch's AdamW and clip_grad_norm_.
 */
export function adamWGraph(
  tensors: readonly OptimizedShape[],
  { beta1, beta2, epsilon }: AdamWConstants,
): Graph {
  const g = new GraphBuilder();
  const scalar = (name: string) => g.input(name, 'float32', []);
  const [scale, maxNorm, unbias] = [scalar('gradient_scale'), scalar('max_norm'), scalar('unbias')];
  const [rates, decays] = ['rates', 'decays'].map((n) => g.input(n, 'float32', [tensors.length]));
  const unscaled = tensors.map((t) => g.mul(input(g, gradientName(t.name), t), scale));
  const norm = g.op('Sqrt', [unscaled.map((x) => sumOfSquares(g, x)).reduce((a, b) => g.add(a, b))], {});
  const isLong = g.op('Greater', [norm, maxNorm], {});
  const clipping = g.op('Where', [isLong, g.div(maxNorm, norm), g.scalar(1)], {});
  const outputs: Record<string, Value> = { gradient_norm: norm };
  tensors.forEach((tensor, i) => {
    const [first, second] = momentNames(tensor.name);
    const own = (table: Value) => g.gather(table, g.scalar(i, 'int32'));
    const gradient = g.mul(unscaled[i]!, clipping);
    const value = input(g, tensor.name, tensor);
    const m = g.add(g.mul(input(g, first, tensor), beta1), g.mul(gradient, 1 - beta1));
    const squares = g.mul(g.mul(gradient, gradient), 1 - beta2);
    const v = g.add(g.mul(input(g, second, tensor), beta2), squares);
    const divisor = g.add(g.mul(g.op('Sqrt', [v], {}), unbias), epsilon);
    const step = g.add(g.mul(value, own(decays!)), g.mul(g.div(m, divisor), own(rates!)));
    outputs[nextName(tensor.name)] = g.sub(value, step);
    outputs[nextName(first)] = m;
    outputs[nextName(second)] = v;
  });
  return g.finish(outputs);
}

/** Adds the gradients of two micro-batches: `<name>.grad` + `<name>.grad.other` → `<name>.grad.next`. */
export function gradientSumGraph(tensors: readonly OptimizedShape[]): Graph {
  const g = new GraphBuilder();
  const sums = tensors.map((tensor) => {
    const name = gradientName(tensor.name);
    return [nextName(name), g.add(input(g, name, tensor), input(g, `${name}.other`, tensor))] as const;
  });
  return g.finish(Object.fromEntries(sums));
}

/** `<name>` → `<name>.copy`: what brings tensors back from a device whose own read-back fails. */
export function copyGraph(tensors: readonly OptimizedShape[]): Graph {
  const g = new GraphBuilder();
  const copies = tensors.map((tensor) => {
    const copy = g.op('Identity', [input(g, tensor.name, tensor)], {});
    return [copyName(tensor.name), copy] as const;
  });
  return g.finish(Object.fromEntries(copies));
}
