/** @file Gradients of convolution and pooling. */
import type { GraphBuilder } from '../ir/builder.js';
import { product } from '../ir/dim.js';
import type { Shape, Value } from '../ir/types.js';
import { reach } from '../ops/define.js';
import type { AttrsOf } from '../ops/registry.js';
import { type GradientRules, refused } from './rule.js';

type ConvAttrs = AttrsOf<'Conv'>;

const onesFor = (strides: readonly number[]): readonly number[] => strides.map(() => 1);

/** Each dy, times the kernel, goes back to the elements that its window read. */
function inputGradient(g: GraphBuilder, x: Value, w: Value, dy: Value, attrs: ConvAttrs): Value {
  const { strides, pads, dilations = onesFor(strides) } = attrs;
  const size = (v: Value, axis: number) => v.shape[axis + 2] as number;
  // what the last window did not reach when the stride left a rest
  const output_padding = strides.map((stride, i) => {
    const whole = stride * (size(dy, i) - 1) + reach(size(w, i), dilations[i]!);
    return size(x, i) - whole + pads[i]! + pads[i + strides.length]!;
  });
  return g.op('ConvTranspose', [dy, w], { ...attrs, output_padding });
}

/** [a, group·b, ...] → [b, group·a, ...]; without groups, the exchange of two axes. */
function exchange(g: GraphBuilder, v: Value, group: number): Value {
  const [a, b, ...size] = v.shape as [Shape[0], number, ...number[]];
  const each = b / group;
  const behind = size.map((_, i) => i + 3);
  const parts = g.transpose(g.reshape(v, [a, group, each, ...size]), [2, 1, 0, ...behind]);
  return g.reshape(parts, [each, product([group, a]), ...size]);
}

/** With batch and channels exchanged, dw is x convolved with dy: a stride of the one is a dilation of the other. */
function kernelGradient(g: GraphBuilder, x: Value, w: Value, dy: Value, attrs: ConvAttrs): Value {
  const { strides, pads, dilations = onesFor(strides), group } = attrs;
  const swapped = { strides: dilations, dilations: strides, pads, group };
  const dw = exchange(g, g.op('Conv', [exchange(g, x, group), exchange(g, dy, 1)], swapped), 1);
  const axes = strides.map((_, i) => i + 2);
  const ends = axes.map((axis) => w.shape[axis] as number);
  if (axes.every((axis, i) => dw.shape[axis] === ends[i])) return dw;
  return g.op('Slice', [dw], { starts: axes.map(() => 0), ends, axes }); // the stride left a rest
}

const flat = (g: GraphBuilder, v: Value): Value => g.reshape(v, [product(v.shape)]);

export const convolution = {
  Conv: ({ g, inputs: [x, w], attrs, dy }) => [
    () => inputGradient(g, x, w, dy, attrs),
    () => kernelGradient(g, x, w, dy, attrs),
    () => g.reduceSum(dy, [0, ...attrs.strides.map((_, i) => i + 2)]),
  ],
  ConvTranspose: refused('it is emitted as the gradient of Conv only'),
  // each dy goes to the element that won its window
  MaxPool: ({ g, zero, inputs: [x], outputs: [, at], dy }) => [
    () => {
      const empty = g.expandLike(zero(), flat(g, x));
      const added = { axis: 0, reduction: 'add' } as const;
      return g.reshape(g.op('ScatterElements', [empty, flat(g, at!), flat(g, dy)], added), x.shape);
    },
  ],
} satisfies Partial<GradientRules>;
