/** @file Reading known tensors by index, range and repetition while a model is read. */
import { broadcast, END, sameShape, sum } from '../../ir/dim.js';
import type { Dim, Shape } from '../../ir/types.js';
import { axisFrom } from './axes.js';
import { type Entry, positionOn } from './entries.js';
import { entryAt, type Known, tabulate } from './known.js';
import type { Site } from './site.js';

/** Where index `i` of an axis of length `dim` is stored, or undefined: not known. */
function placeOn(dim: Dim, i: Entry, entryOf: (at: number) => Entry): Entry {
  if (typeof dim === 'number') return typeof i === 'number' ? entryOf(i < 0 ? i + dim : i) : undefined;
  const found = entryOf(0); // equal along the axis, unless it is a position
  const isPosition = typeof found === 'string' && found.includes('#');
  return i === positionOn(dim) || (typeof i === 'number' && !isPosition) ? found : undefined;
}

/** data[..., indices, ...] at `axis` */
export function gather(c: Site, data: Known, indices: Known): Known {
  const axis = axisFrom(c, c.number('axis', 0), data.shape.length);
  const rank = indices.shape.length;
  const shape = [...data.shape.slice(0, axis), ...indices.shape, ...data.shape.slice(axis + 1)];
  return tabulate(c.outputs[0]!, data.dtype, shape, (index) => {
    const at = (i: number) => entryAt(data, [...index.slice(0, axis), i, ...index.slice(axis + rank)]);
    return placeOn(data.shape[axis]!, entryAt(indices, index.slice(axis, axis + rank)), at);
  });
}

export function gatherElements(c: Site, data: Known, indices: Known): Known {
  const axis = axisFrom(c, c.number('axis', 0), data.shape.length);
  return tabulate(c.outputs[0]!, data.dtype, indices.shape, (index) => {
    const at = (i: number) => entryAt(data, [...index.slice(0, axis), i, ...index.slice(axis + 1)]);
    return placeOn(data.shape[axis]!, entryAt(indices, index), at);
  });
}

/** data[indices[..., 0], indices[..., 1], ...] */
export function gatherNd(c: Site, data: Known, indices: Known): Known | undefined {
  const depth = indices.shape.at(-1);
  if (c.number('batch_dims', 0) !== 0 || typeof depth !== 'number') return undefined;
  const shape = [...indices.shape.slice(0, -1), ...data.shape.slice(depth)];
  const lead = indices.shape.length - 1;
  return tabulate(c.outputs[0]!, data.dtype, shape, (index) => {
    const read = (before: readonly number[], axis: number): Entry => {
      if (axis === depth) return entryAt(data, [...before, ...index.slice(lead)]);
      const i = entryAt(indices, [...index.slice(0, lead), axis]);
      return placeOn(data.shape[axis]!, i, (at) => read([...before, at], axis + 1));
    };
    return read([], 0);
  });
}

/** Start, step and length on one axis, or undefined: not known. */
function range(length: Dim, start: Entry, end: Entry, step: number): [number, number, Dim] | undefined {
  if (typeof start !== 'number' || end === undefined || step === 0) return undefined;
  if (typeof length === 'string') {
    const isWhole = start === 0 && step === 1 && (end === length || (typeof end === 'number' && end >= END));
    if (isWhole) return [0, 1, length];
    return start === 0 && step === 1 && end === 1 ? [0, 1, 1] : undefined;
  }
  if (typeof end !== 'number') return undefined;
  const [low, high] = step > 0 ? [0, length] : [-1, length - 1];
  const within = (i: number) => Math.min(Math.max(i < 0 ? i + length : i, low), high);
  const first = within(start);
  return [first, step, Math.max(0, Math.ceil((within(end) - first) / step))];
}

export function slice(c: Site, data: Known): Known | undefined {
  const [starts, ends] = [c.entries(1)!, c.entries(2)!];
  const axes = (c.integers(3) ?? starts.map((_, i) => i)).map((a) => axisFrom(c, a, data.shape.length));
  const steps = c.integers(4) ?? starts.map(() => 1);
  const cuts = axes.map((axis, i) => range(data.shape[axis]!, starts[i], ends[i], steps[i]!));
  if (cuts.some((cut) => !cut)) return undefined;
  const shape = [...data.shape];
  axes.forEach((axis, i) => {
    shape[axis] = cuts[i]![2];
  });
  return tabulate(c.outputs[0]!, data.dtype, shape, (index) => {
    const at = [...index];
    axes.forEach((axis, i) => {
      at[axis] = cuts[i]![0] + index[axis]! * cuts[i]![1];
    });
    const found = entryAt(data, at);
    // the first position of a symbolic axis that is cut to one element
    return axes.some((axis) => found === positionOn(String(data.shape[axis])) && shape[axis] === 1)
      ? 0
      : found;
  });
}

export function concat(c: Site, ...parts: readonly Known[]): Known | undefined {
  const axis = axisFrom(c, c.number('axis', 0), parts[0]!.shape.length);
  const lengths = parts.map((p) => p.shape[axis]!);
  if (lengths.some((n) => typeof n !== 'number')) return undefined;
  const shape = parts[0]!.shape.map((d, i) => (i === axis ? sum(lengths) : d));
  const others = (s: Shape) => s.filter((_, i) => i !== axis);
  if (parts.some((p) => !sameShape(others(p.shape), others(shape)))) return undefined;
  return tabulate(c.outputs[0]!, parts[0]!.dtype, shape, (index) => {
    let at = index[axis]!;
    const part = parts.find((_, i) => {
      if (at < (lengths[i] as number)) return true;
      at -= lengths[i] as number;
      return false;
    })!;
    return entryAt(
      part,
      index.map((n, i) => (i === axis ? at : n)),
    );
  });
}

export function expand(c: Site, x: Known): Known | undefined {
  const target = c.entries(1)!;
  if (target.some((d) => d === undefined)) return undefined;
  const shape = broadcast(x.shape, target as Shape);
  return shape && tabulate(c.outputs[0]!, x.dtype, shape, (index) => entryAt(x, index));
}
