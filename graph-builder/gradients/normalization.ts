/** @file Gradients of normalisation. */
import type { GraphBuilder } from '../ir/builder.js';
import type { Value } from '../ir/types.js';
import { type GradientRules, NoGradient } from './rule.js';

/** [channels] → [channels, 1, ...], which broadcasts along x [batch, channels, ...]. */
const perChannel = (g: GraphBuilder, row: Value, x: Value): Value =>
  g.reshape(row, [row.shape[0]!, ...x.shape.slice(2).map(() => 1)]);

const ofStatistics = (): never => {
  throw new NoGradient('the running statistics are trained', 'freeze running_mean and running_var');
};

export const normalization = {
  // x̂ = (x − mean)·invStd, h = dy ⊙ scale: dx = invStd·(h − mean(h) − x̂·mean(h ⊙ x̂))
  LayerNormalization: ({ g, inputs: [x, scale], outputs: [, mean, invStd], dy }) => {
    const normalised = () => g.mul(g.sub(x, mean!), invStd!);
    const leading = x.shape.slice(0, -1).map((_, i) => i);
    return [
      () => {
        const h = g.mul(dy, scale);
        const centred = g.sub(h, g.reduceMean(h, [-1], 1));
        const slope = g.reduceMean(g.mul(h, normalised()), [-1], 1);
        return g.mul(g.sub(centred, g.mul(normalised(), slope)), invStd!);
      },
      () => g.reduceSum(g.mul(dy, normalised()), leading),
      () => g.reduceSum(dy, leading),
    ];
  },
  // x̂ = (x − mean)·invStd with fixed statistics: dx = dy ⊙ scale·invStd, dscale = Σ dy ⊙ x̂
  BatchNormalization: ({ g, inputs: [x, scale, , mean, variance], attrs: { epsilon }, dy }) => {
    const invStd = () => g.op('Reciprocal', [g.op('Sqrt', [g.add(variance, epsilon)], {})], {});
    const others = x.shape.map((_, i) => i).filter((i) => i !== 1);
    const slope = () => g.reduceSum(g.mul(dy, g.sub(x, perChannel(g, mean, x))), others);
    const dx = () => g.mul(dy, perChannel(g, g.mul(scale, invStd()), x));
    return [dx, () => g.mul(slope(), invStd()), () => g.reduceSum(dy, others), ofStatistics, ofStatistics];
  },
} satisfies Partial<GradientRules>;
