/** @file Gradients of normalisation. */
import type { GradientRules } from './rule.js';

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
} satisfies Partial<GradientRules>;
