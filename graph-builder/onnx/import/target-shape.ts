/** @file ONNX's way to write the shape that Reshape gives. */
import { product, quotient } from '../../ir/dim.js';
import type { Dim, Shape } from '../../ir/types.js';
import type { Entry } from './entries.js';

/**
 * The shape that Reshape gives to `shape`: -1 is what is left, 0 the axis in its place unless `allowZero`.
 * Undefined where the target is not known or does not divide.
 */
export function targetShape(shape: Shape, target: readonly Entry[], allowZero: boolean): Shape | undefined {
  const dims = target.map((d, i) => (d === 0 && !allowZero ? shape[i] : d));
  if (dims.some((d) => d === undefined)) return undefined;
  const whole = dims as readonly Dim[];
  const open = whole.indexOf(-1);
  if (open < 0) return whole;
  const rest = quotient(product(shape), product(whole.filter((_, i) => i !== open)));
  return rest === undefined ? undefined : whole.map((d, i) => (i === open ? rest : d));
}

/**
 * `shape` as constants for Reshape of a tensor of shape `from`: 0 for a symbolic axis in its place, -1 for one that
 * is not. Undefined where two are not in their places.
 */
export function constantTarget(from: Shape, shape: Shape): number[] | undefined {
  const target = shape.map((d, i) => (typeof d === 'string' && d === from[i] ? 0 : d));
  if (target.filter((d) => typeof d === 'string').length > 1) return undefined;
  return target.map((d) => (typeof d === 'string' ? -1 : d));
}
