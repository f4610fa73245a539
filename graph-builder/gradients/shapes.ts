/** @file Gradients of data movement: the same movement backwards. */
import type { Value } from '../ir/types.js';
import type { GradientRules } from './rule.js';

export const shapes = {
  Reshape: ({ g, inputs: [x], dy }) => [() => g.reshape(dy, x.shape), null],
  Transpose: ({ g, attrs: { perm }, dy }) => [
    () =>
      g.transpose(
        dy,
        perm.map((_, i) => perm.indexOf(i)),
      ),
  ],
  Concat: ({ g, inputs, attrs: { axis }, dy }) => {
    const lengths = inputs.map((v) => v.shape.at(axis));
    const parts = (): readonly Value[] => {
      if (lengths.some((n) => typeof n !== 'number'))
        throw new Error(`internal: Concat of symbolic lengths ${lengths}`);
      return g.apply('Split', [dy], { axis, split: lengths as number[] });
    };
    return inputs.map((_, i) => () => parts()[i]!);
  },
  Split: ({ g, outputs, attrs: { axis }, dys }) => [
    () =>
      g.op(
        'Concat',
        outputs.map((v, i) => dys[i] ?? g.sub(v, v)),
        { axis },
      ),
  ],
  // the driver sums over the repeated axes
  Expand: ({ dy }) => [() => dy],
} satisfies Partial<GradientRules>;
