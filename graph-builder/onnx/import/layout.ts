/** @file Operators of foreign models that move data. */
import { END, product } from '../../ir/dim.js';
import type { Dim, Shape, Value } from '../../ir/types.js';
import { axesOf, axisFrom, squeezed, unsqueezed } from './axes.js';
import { isKnown, type Operand } from './known.js';
import type { Site } from './site.js';
import { constantTarget, targetShape } from './target-shape.js';
import type { Translation } from './translation.js';

/** `x` under another shape, by constants. */
function reshaped(c: Site, x: Value, shape: Shape | undefined): readonly Value[] {
  const target = shape && constantTarget(x.shape, shape);
  if (!target) {
    const what = `[${x.shape}] cannot be reshaped to [${shape ?? 'a shape of run time'}]`;
    throw c.bad(what, 'export the model with fixed shapes, the batch axis aside');
  }
  const isSame = target.length === x.shape.length && target.every((d, i) => d === 0 || d === x.shape[i]);
  return isSame ? [x] : c.finish('Reshape', [x], { shape: target });
}

function split(c: Site): readonly Value[] {
  const x = c.value(0);
  const axis = axisFrom(c, c.number('axis', 0), x.shape.length);
  const count = c.number('num_outputs', c.outputs.length);
  const length = x.shape[axis];
  const given = c.integers(1);
  if (!given && typeof length !== 'number') {
    throw c.bad(`Split of the axis ${length} into equal parts`, 'export the model with this axis fixed');
  }
  const each = Math.ceil((length as number) / count);
  const equal = () => Array.from({ length: count }, (_, i) => Math.min(each, (length as number) - i * each));
  return c.finish('Split', [x], { axis, split: given ?? equal() });
}

/** An end of a range on an axis: its own length is the END. */
function endOf(c: Site, end: Dim | undefined, length: Dim): number {
  if (end === length && typeof end === 'string') return END;
  if (typeof end === 'number') return Math.max(-END, Math.min(end, END));
  throw c.bad(`Slice ends at ${end ?? 'a number of run time'}`, 'export the model with this axis fixed');
}

function slice(c: Site): readonly Value[] {
  const x = c.value(0);
  const [starts, ends] = [c.integers(1)!, c.entries(2)!];
  const axes = (c.integers(3) ?? starts.map((_, i) => i)).map((a) => axisFrom(c, a, x.shape.length));
  if (c.integers(4)?.some((step) => step !== 1)) {
    throw c.bad('Slice with steps other than 1 is not supported', 'write it as a reshape and a slice');
  }
  const cuts = axes
    .map((axis, i) => ({ axis, start: starts[i]!, end: endOf(c, ends[i], x.shape[axis]!) }))
    .filter(({ start, end, axis }) => start !== 0 || (end !== END && end !== x.shape[axis]));
  if (cuts.length === 0) return [x];
  const range = { starts: cuts.map((cut) => cut.start), ends: cuts.map((cut) => cut.end) };
  return c.finish('Slice', [x], { ...range, axes: cuts.map((cut) => cut.axis) });
}

function dropout(c: Site): readonly Operand[] {
  c.ignore('seed');
  const training = c.inputs[2];
  if (training && !(isKnown(training) && training.data[0] === 0)) {
    throw c.bad('Dropout in training mode is not supported', 'call model.eval() before the export');
  }
  return [c.inputs[0]];
}

function expand(c: Site): readonly Value[] {
  const target = c.entries(1)!;
  if (target.some((d) => d === undefined)) {
    throw c.bad('Expand to a shape of run time', 'export the model with fixed shapes, the batch axis aside');
  }
  return [c.finishSpread(c.value(0), target as Shape)];
}

export const layoutTranslations: Readonly<Record<string, Translation>> = {
  Identity: (c) => [c.inputs[0]],
  Dropout: dropout,
  Reshape: (c) => {
    const x = c.value(0);
    return reshaped(c, x, targetShape(x.shape, c.entries(1)!, c.number('allowzero', 0) === 1));
  },
  Flatten: (c) => {
    const x = c.value(0);
    const axis = c.number('axis', 1);
    const at = axis < 0 ? axis + x.shape.length : axis;
    return reshaped(c, x, [product(x.shape.slice(0, at)), product(x.shape.slice(at))]);
  },
  Squeeze: (c) => reshaped(c, c.value(0), squeezed(c, c.value(0).shape, axesOf(c, 1))),
  Unsqueeze: (c) => reshaped(c, c.value(0), unsqueezed(c, c.value(0).shape, axesOf(c, 1) ?? [])),
  Transpose: (c) => {
    const x = c.value(0);
    return c.finish('Transpose', [x], { perm: c.numbers('perm') ?? [...x.shape.keys()].reverse() });
  },
  Concat: (c) => {
    const parts = c.inputs.map((_, i) => c.value(i));
    return c.finish('Concat', parts, { axis: c.number('axis', 0) });
  },
  Split: split,
  Slice: slice,
  Expand: expand,
};
