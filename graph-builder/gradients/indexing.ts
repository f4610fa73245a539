/** @file Gradients of reading and writing by index: each is the other. */
import type { GraphBuilder } from '../ir/builder.js';
import { product } from '../ir/dim.js';
import type { Shape, Value } from '../ir/types.js';
import type { GradientRules } from './rule.js';

const onAxis = (shape: Shape, axis: number): number => (axis < 0 ? axis + shape.length : axis);

/** Row numbers of a table [n] or [n, width], repeated over its columns. */
function tableRows(g: GraphBuilder, indices: Value, width: number | undefined): Value {
  const rows = product(indices.shape);
  const flat = g.reshape(indices, [rows]);
  if (!width) return flat;
  const columns = g.constant(new Array(width).fill(0), [1, width], flat.dtype);
  return g.add(g.reshape(flat, [rows, 1]), columns);
}

/** Indices along `axis` of `updates`, repeated over the other axes, whose lengths may be unknown. */
function repeated(g: GraphBuilder, indices: Value, updates: Value, axis: number): Value {
  const shape = updates.shape.map((d, i) => (i === axis ? d : 1));
  const nothing = g.cast(g.op('Less', [updates, updates], {}), indices.dtype);
  return g.add(g.reshape(indices, shape), nothing);
}

/** What Gather read, as `updates` of ScatterElements and the places they go to. */
function scattered(g: GraphBuilder, data: Value, indices: Value, axis: number, dy: Value) {
  const [, width] = data.shape;
  if (axis === 0 && data.shape.length <= 2 && typeof (width ?? 1) === 'number') {
    const at = tableRows(g, indices, width as number | undefined);
    return { at, updates: g.reshape(dy, at.shape) };
  }
  const behind = data.shape.slice(axis + 1);
  const updates = g.reshape(dy, [...data.shape.slice(0, axis), product(indices.shape), ...behind]);
  return { at: repeated(g, indices, updates, axis), updates };
}

export const indexing = {
  // dy is added to the table, the one that other gradients of it have filled if there is one
  Gather: ({ g, zero, inputs: [data, indices], attrs, dy }) => [
    () => ({
      addTo: (sum) => {
        const axis = onAxis(data.shape, attrs.axis);
        const { at, updates } = scattered(g, data, indices, axis, dy);
        const inputs = [sum ?? g.expandLike(zero(), data), at, updates] as const;
        return g.op('ScatterElements', inputs, { axis, reduction: 'add' });
      },
    }),
    null,
  ],
  GatherElements: ({ g, inputs: [data, indices], attrs: { axis }, dy }) => [
    () => ({
      addTo: (sum) =>
        g.op('ScatterElements', [sum ?? g.sub(data, data), indices, dy], { axis, reduction: 'add' }),
    }),
    null,
  ],
  ScatterElements: ({ g, inputs: [, indices], attrs: { axis }, dy }) => [
    () => dy,
    null,
    () => g.op('GatherElements', [dy, indices], { axis }),
  ],
  TopK: ({ g, inputs: [x], outputs: [, at], attrs: { axis }, dy }) => [
    () => g.op('ScatterElements', [g.sub(x, x), at!, dy], { axis, reduction: 'add' }),
  ],
} satisfies Partial<GradientRules>;
