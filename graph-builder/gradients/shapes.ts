/** @file Gradients of data movement: the same movement backwards. */
import type { GraphBuilder } from '../ir/builder.js';
import { END } from '../ir/dim.js';
import type { Shape, Value } from '../ir/types.js';
import { type GradientRules, NoGradient } from './rule.js';

const FIX_AXIS = 'export the model with this axis fixed';

/**
 * Where each part of a concatenation lies if one of them, of unknown length, is counted around: parts before it
 * from the front, parts after it from the back. Undefined when all lengths are known.
 */
function rangesOf(lengths: Shape): (readonly [start: number, end: number])[] | undefined {
  const open = lengths.flatMap((n, i) => (typeof n === 'string' ? [i] : []));
  if (open.length === 0) return undefined;
  if (open.length > 1) throw new NoGradient(`lengths ${lengths} are not known`, FIX_AXIS);
  const total = (parts: Shape) => (parts as readonly number[]).reduce((s, n) => s + n, 0);
  return lengths.map((_, i) => {
    const before = () => total(lengths.slice(0, i));
    const after = () => total(lengths.slice(i + 1));
    const toEnd = (n: number) => (n === 0 ? END : -n);
    if (i < open[0]!) return [before(), before() + (lengths[i] as number)];
    if (i > open[0]!) return [-(after() + (lengths[i] as number)), toEnd(after())];
    return [before(), toEnd(after())];
  });
}

/** Zeros of the shape of `like` but for one axis, from the value itself: no constant of that size, no shape. */
const zeros = (g: GraphBuilder, like: Value, axis: number, length: number): Value => {
  const sum = g.reduceSum(like, [axis], 1);
  const shape = like.shape.map((_, i) => (i === axis ? length : 1));
  return g.mul(g.sub(sum, sum), g.constant(new Array(length).fill(1), shape));
};

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
    const lengths = inputs.map((v) => v.shape.at(axis)!);
    const ranges = rangesOf(lengths);
    return inputs.map((_, i) => () => {
      if (!ranges) return g.apply('Split', [dy], { axis, split: lengths as number[] })[i]!;
      const [start, end] = ranges[i]!;
      return g.op('Slice', [dy], { starts: [start], ends: [end], axes: [axis] });
    });
  },
  Split: ({ g, outputs, attrs: { axis }, dys }) => [
    () =>
      g.op(
        'Concat',
        outputs.map((v, i) => dys[i] ?? g.sub(v, v)),
        { axis },
      ),
  ],
  // what was cut off gets zeros
  Slice: ({ g, inputs: [x], attrs: { starts, ends, axes }, dy }) => [
    () =>
      axes.reduceRight((part, axis, i) => {
        const at = axis < 0 ? axis + x.shape.length : axis;
        const length = x.shape[at]!;
        const [start, end] = [starts[i]!, ends[i]!];
        const fromFront = (n: number) => (n < 0 ? Math.max(n + (length as number), 0) : n);
        if (typeof length === 'string' && (start < 0 || (end > 0 && end < END)))
          throw new NoGradient(`the length ${length} is not known`, FIX_AXIS);
        const before = fromFront(start);
        const after =
          typeof length === 'string' ? (end === END ? 0 : -end) : length - Math.min(fromFront(end), length);
        const pieces = [
          ...(before > 0 ? [zeros(g, part, at, before)] : []),
          part,
          ...(after > 0 ? [zeros(g, part, at, after)] : []),
        ];
        return pieces.length === 1 ? part : g.op('Concat', pieces, { axis: at });
      }, dy),
  ],
  // the driver sums over the repeated axes
  Expand: ({ dy }) => [() => dy],
} satisfies Partial<GradientRules>;
