/** @file Operators of foreign models that read by index. */
import { END, product } from '../../ir/dim.js';
import type { Dim, Shape, Value } from '../../ir/types.js';
import { axisFrom } from './axes.js';
import { type Entry, parsePosition, positionOn } from './entries.js';
import { isKnown, type Known, storedShape } from './known.js';
import type { Site } from './site.js';
import { constantTarget } from './target-shape.js';
import type { Translation } from './translation.js';

const REMEDY = 'export the model with fixed shapes, the batch axis aside';

function reshape(c: Site, x: Value, shape: Shape): Value {
  const target = constantTarget(x.shape, shape);
  if (!target) throw c.bad(`[${x.shape}] cannot be reshaped to [${shape}]`, REMEDY);
  return c.make('Reshape', [x], { shape: target });
}

/** One index: a range of one element, whose gradient is padding and not a sum by index. */
function select(c: Site, data: Value, index: number, axis: number, keepsAxis: boolean): readonly Value[] {
  const range = { starts: [index], ends: [index === -1 ? END : index + 1], axes: [axis] };
  if (keepsAxis) return c.finish('Slice', [data], range);
  const one = c.make('Slice', [data], range);
  const shape = data.shape.filter((_, i) => i !== axis);
  const target = constantTarget(one.shape, shape);
  if (!target) throw c.bad(`[${one.shape}] cannot be reshaped to [${shape}]`, REMEDY);
  return c.finish('Reshape', [one], { shape: target });
}

const indexVector = (c: Site, data: readonly number[]): Known => ({
  kind: 'known',
  name: `${c.outputs[0]}/indices`,
  dtype: 'int64',
  shape: [data.length],
  data,
});

/** What each sample reads of its own elements: `factor` of them, element `offsets` for each index. */
interface PerSample {
  readonly axis: string;
  readonly factor: number;
  readonly offsets: readonly number[];
}

/** The indices as positions `factor·#axis + offset` of an axis of length `length`, if they are. */
function perSample(length: Dim, entries: readonly Entry[]): PerSample | undefined {
  const parsed = entries.map(parsePosition);
  const first = parsed[0];
  if (!first || parsed.some((p) => p?.axis !== first.axis || p.factor !== first.factor)) return undefined;
  const offsets = parsed.map((p) => p!.offset);
  const fits = product([first.factor, first.axis]) === length && offsets.every((o) => o < first.factor);
  return fits ? { axis: first.axis, factor: first.factor, offsets } : undefined;
}

/**
 * data [factor·samples, ...rest] read at `indices` [samples, ...]: no index of a sample is needed for that.
 *
 * Masks of exported attention are read so, [samples, 1, 1, keys] at (sample, key).
 */
function readPerSample(c: Site, data: Value, indices: Shape, own: PerSample, rest: Shape): Value {
  const { axis, factor, offsets } = own;
  if (indices[0] !== axis || indices.slice(1).some((d) => typeof d === 'string')) {
    throw c.bad(`indices [${indices}] of which ${axis} is not the first axis alone`, REMEDY);
  }
  const each = reshape(c, data, [axis, factor, ...rest]);
  const isAll = offsets.length === factor && offsets.every((o, i) => o === i);
  const read = isAll ? each : c.make('Gather', [each, c.literal(indexVector(c, offsets))], { axis: 1 });
  return reshape(c, read, [...indices, ...rest]);
}

function gather(c: Site): readonly Value[] {
  const data = c.value(0);
  const axis = axisFrom(c, c.number('axis', 0), data.shape.length);
  const indices = c.inputs[1]!;
  if (!isKnown(indices)) return c.finish('Gather', [data, indices], { axis });
  const [only] = indices.data;
  if (indices.data.length === 1 && typeof only === 'number' && indices.shape.length <= 1) {
    if (indices.shape.every((d) => d === 1)) return select(c, data, only, axis, indices.shape.length === 1);
  }
  const own = perSample(data.shape[axis]!, indices.data);
  if (own && axis === 0) return [readPerSample(c, data, indices.shape, own, data.shape.slice(1))];
  // indices that are equal along a symbolic axis are read once, and what they read is repeated
  if (indices.shape.every((d) => typeof d === 'number')) {
    return c.finish('Gather', [data, c.literal(indices)], { axis });
  }
  const read = c.make('Gather', [data, c.literal(indices)], { axis });
  return [
    c.finishSpread(read, [...data.shape.slice(0, axis), ...indices.shape, ...data.shape.slice(axis + 1)]),
  ];
}

/** Positions of rows of indices in an axis that joins axes of the given lengths, if they are numbers. */
function joined(rows: readonly (readonly Entry[])[], lengths: Shape): readonly number[] | undefined {
  if ([...rows.flat(), ...lengths].some((n) => typeof n !== 'number')) return undefined;
  const wrapped = (i: number, length: number) => (i < 0 ? i + length : i);
  return rows.map((row) =>
    row.reduce<number>((p, i, axis) => {
      const length = lengths[axis] as number;
      return p * length + wrapped(i as number, length);
    }, 0),
  );
}

/** Indices (i, j ...) into [n, m, ..., ...rest] are positions in [n·m…, ...rest]; i may be the sample's own. */
function gatherNd(c: Site): readonly Value[] {
  const data = c.value(0);
  const indices = c.inputs[1]!;
  const depth = indices.shape.at(-1);
  if (!isKnown(indices) || c.number('batch_dims', 0) !== 0 || typeof depth !== 'number') {
    throw c.bad('GatherND at indices of run time is not supported', REMEDY);
  }
  const rows = Array.from({ length: indices.data.length / depth }, (_, i) =>
    indices.data.slice(i * depth, (i + 1) * depth),
  );
  const lengths = data.shape.slice(0, depth);
  const rest = data.shape.slice(depth);
  const shape = indices.shape.slice(0, -1);
  const places = joined(rows, lengths);
  if (places) {
    const at = indexVector(c, places);
    const read = c.make('Gather', [reshape(c, data, [product(lengths), ...rest]), c.literal(at)], {
      axis: 0,
    });
    return [c.finishSpread(reshape(c, read, [...storedShape(shape), ...rest]), [...shape, ...rest])];
  }
  const [axis, ...inner] = lengths;
  const isOwn = typeof axis === 'string' && rows.every(([first]) => first === positionOn(axis));
  const offsets = joined(
    rows.map((row) => row.slice(1)),
    inner,
  );
  if (!isOwn || !offsets) throw c.bad('GatherND across samples is not supported', REMEDY);
  return [readPerSample(c, data, shape, { axis, factor: product(inner) as number, offsets }, rest)];
}

export const indexingTranslations: Readonly<Record<string, Translation>> = {
  Gather: gather,
  GatherElements: (c) => c.finish('GatherElements', [c.value(0), c.value(1)], { axis: c.number('axis', 0) }),
  GatherND: gatherNd,
};
