/** @file Gradients of reductions. */
import type { GraphBuilder } from '../ir/builder.js';
import type { Value } from '../ir/types.js';
import { type ReduceAttrs, reducedShape } from '../ops/define.js';
import type { GradientRules } from './rule.js';

/** `v` [reduced] with its reduced axes back as length 1. */
const kept = (g: GraphBuilder, v: Value, x: Value, { axes }: ReduceAttrs): Value =>
  g.reshape(v, reducedShape(x.shape, { axes, keepdims: 1 }));

export const reductions = {
  ReduceSum: ({ g, inputs: [x], attrs, dy }) => [() => g.expandLike(kept(g, dy, x, attrs), x)],
  ReduceMean: ({ g, inputs: [x], attrs, dy }) => [
    () => {
      const count = attrs.axes.reduce((n, axis) => {
        const length = x.shape.at(axis);
        if (typeof length !== 'number') throw new Error(`internal: mean over the symbolic axis ${length}`);
        return n * length;
      }, 1);
      return g.expandLike(g.mul(kept(g, dy, x, attrs), 1 / count), x);
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
} satisfies Partial<GradientRules>;
