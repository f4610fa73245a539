/** @file Gradients of reductions. */
import type { GraphBuilder } from '../ir/builder.js';
import { product } from '../ir/dim.js';
import type { Value } from '../ir/types.js';
import { type ReduceAttrs, reducedShape } from '../ops/define.js';
import type { GradientRules } from './rule.js';

/** `v` [reduced] with its reduced axes back as length 1. */
const kept = (g: GraphBuilder, v: Value, x: Value, { axes }: ReduceAttrs): Value =>
  g.reshape(v, reducedShape(x.shape, { axes, keepdims: 1 }));

/** Number of elements that are reduced, where an axis is symbolic. */
const counted = (g: GraphBuilder, x: Value, { axes }: ReduceAttrs): Value =>
  g.reduceSum(g.cast(g.op('Equal', [x, x], {}), 'float32'), axes, 1);

export const reductions = {
  ReduceSum: ({ g, inputs: [x], attrs, dy }) => [() => g.expandLike(kept(g, dy, x, attrs), x)],
  ReduceMean: ({ g, inputs: [x], attrs, dy }) => [
    () => {
      const count = product(attrs.axes.map((axis) => x.shape.at(axis)!));
      const share = typeof count === 'number' ? g.mul(kept(g, dy, x, attrs), 1 / count) : undefined;
      return g.expandLike(share ?? g.div(kept(g, dy, x, attrs), counted(g, x, attrs)), x);
    },
  ],
  // Equal maxima each get the whole gradient: none occur in float32 logits that matter.
  ReduceMax: ({ g, inputs: [x], attrs, y, dy }) => [
    () => g.mul(g.cast(g.op('Equal', [x, kept(g, y, x, attrs)], {}), 'float32'), kept(g, dy, x, attrs)),
  ],
  // dx = dy · softmax(x)
  ReduceLogSumExp: ({ g, inputs: [x], attrs, y, dy }) => [
    () => g.mul(g.op('Exp', [g.sub(x, kept(g, y, x, attrs))], {}), kept(g, dy, x, attrs)),
  ],
  // each x is in all sums from its own on
  CumSum: ({ g, inputs: [, axis], attrs, dy }) => [
    () => g.op('CumSum', [dy, axis], { ...attrs, reverse: attrs.reverse ? 0 : 1 }),
    null,
  ],
} satisfies Partial<GradientRules>;
