/** @file Gradients of reading and writing by index: each is the other. */
import { product } from '../ir/dim.js';
import type { GradientRules } from './rule.js';

export const indexing = {
  // rows of dy are added to a table, the one that other gradients of it have filled if there is one
  Gather: ({ g, zero, inputs: [data, indices], attrs: { axis }, dy }) => [
    () => ({
      addTo: (sum) => {
        const [, width] = data.shape;
        if (axis !== 0 || data.shape.length > 2 || typeof (width ?? 1) !== 'number') {
          throw new Error(`internal: no gradient of Gather over axis ${axis} of [${data.shape}]`);
        }
        const rows = product(indices.shape);
        const flat = g.reshape(indices, [rows]);
        const columns = [...Array(width ?? 0).keys()].map(() => 0);
        const at = width
          ? g.add(g.reshape(flat, [rows, 1]), g.constant(columns, [1, columns.length], flat.dtype))
          : flat;
        const updates = g.reshape(dy, width ? [rows, width] : [rows]);
        return g.op('ScatterElements', [sum ?? g.expandLike(zero(), data), at, updates], {
          axis: 0,
          reduction: 'add',
        });
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
