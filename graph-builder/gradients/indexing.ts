/** @file Gradients of reading and writing by index: each is the other. */
import type { GradientRules } from './rule.js';

export const indexing = {
  // rows of dy are added to a table, the one that other gradients of it have filled if there is one
  Gather: ({ g, zero, inputs: [data, indices], attrs: { axis }, dy }) => [
    () => ({
      addTo: (sum) => {
        if (axis !== 0) throw new Error('internal: only the gradient of Gather over axis 0 is needed');
        const at = g.cast(g.reshape(indices, [...indices.shape, 1]), 'int64');
        return g.op('ScatterND', [sum ?? g.expandLike(zero(), data), at, dy], { reduction: 'add' });
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
  ScatterND: ({ g, inputs: [, indices], dy }) => [
    () => dy,
    null,
    () => g.gather(dy, g.reshape(indices, indices.shape.slice(0, -1))),
  ],
  TopK: ({ g, inputs: [x], outputs: [, at], attrs: { axis }, dy }) => [
    () => g.op('ScatterElements', [g.sub(x, x), at!, dy], { axis, reduction: 'add' }),
  ],
} satisfies Partial<GradientRules>;
