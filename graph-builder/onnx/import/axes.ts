/** @file Axes as ONNX's operators number them, as attributes or as inputs. */
import type { Dim, Shape } from '../../ir/types.js';
import type { Site } from './site.js';

/** `axis` counted from the front. */
export function axisFrom(c: Site, axis: number, rank: number): number {
  const at = axis < 0 ? axis + rank : axis;
  if (at >= 0 && at < rank) return at;
  throw c.bad(`axis ${axis} is out of range for ${rank} axes`, 'export the model again: the file is damaged');
}

/** `axes` from the attribute of older opsets or from input `i`; undefined if the node has neither. */
export const axesOf = (c: Site, i: number): readonly number[] | undefined =>
  c.numbers('axes') ?? c.integers(i);

/** Without the axes given, or without all of length 1. */
export function squeezed(c: Site, shape: Shape, axes: readonly number[] | undefined): Shape {
  const gone = axes?.map((a) => axisFrom(c, a, shape.length));
  return shape.filter((d, i) => (gone ? !gone.includes(i) : d !== 1));
}

/** With axes of length 1 at the places given, which count in the result. */
export function unsqueezed(c: Site, shape: Shape, axes: readonly number[]): Shape {
  const rank = shape.length + axes.length;
  const added = axes.map((a) => axisFrom(c, a, rank));
  const rest: Dim[] = [...shape];
  return Array.from({ length: rank }, (_, i) => (added.includes(i) ? 1 : rest.shift()!));
}
