/** @file Tensors that are known while a model is read: literals, and what is computed from shapes. */
import { broadcast, sameShape } from '../../ir/dim.js';
import type { DType, Shape, Value } from '../../ir/types.js';
import { bad } from '../tensors.js';
import type { Entry } from './entries.js';

/**
 * A tensor by its entries. Along axes of symbolic length all entries are equal, but for positions ('#batch'): each
 * of these axes is stored with length 1.
 */
export interface Known {
  readonly kind: 'known';
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
  readonly data: readonly Entry[];
}

/** What a node reads: a tensor known now, a value of run time, or nothing. */
export type Operand = Known | Value | undefined;

export const isKnown = (x: Operand): x is Known => x !== undefined && 'kind' in x && x.kind === 'known';

const MOST_ENTRIES = 2 ** 24;

/** The lengths that {@link Known} stores. */
export const storedShape = (shape: Shape): number[] => shape.map((d) => (typeof d === 'string' ? 1 : d));

type Index = readonly number[];

/** Entries in row-major order, `entry` asked for each index of the stored shape. */
export function tabulate(name: string, dtype: DType, shape: Shape, entry: (index: Index) => Entry): Known {
  const stored = storedShape(shape);
  const size = stored.reduce((p, n) => p * n, 1);
  if (size > MOST_ENTRIES) throw bad(`${name} has ${size} entries`, name, 'export it as an initialiser');
  const index = stored.map(() => 0);
  const data = Array.from({ length: size }, () => {
    const found = entry(index);
    for (let axis = index.length - 1; axis >= 0; axis--) {
      index[axis]! += 1;
      if (index[axis]! < stored[axis]!) break;
      index[axis] = 0;
    }
    return dtype === 'float32' && typeof found === 'number' ? Math.fround(found) : found;
  });
  return { kind: 'known', name, dtype, shape, data };
}

/** The entry at an index of a shape that `x` broadcasts to. */
export function entryAt(x: Known, index: Index): Entry {
  const lead = index.length - x.shape.length;
  let flat = 0;
  for (const [axis, length] of x.shape.entries())
    if (typeof length === 'number') flat = flat * length + (length === 1 ? 0 : index[axis + lead]!);
  return x.data[flat];
}

/** `rule` on the entries of tensors that broadcast, or undefined if they do not. */
export function elementwise(
  name: string,
  dtype: DType,
  operands: readonly Known[],
  rule: (...entries: Entry[]) => Entry,
): Known | undefined {
  let shape: Shape | undefined = [];
  for (const { shape: other } of operands) shape = shape && broadcast(shape, other);
  if (!shape) return undefined;
  const twice = shape.filter((d, i) => typeof d === 'string' && shape!.indexOf(d) !== i);
  // '#tokens' of a row and of a column are not the same number
  if (twice.some((d) => operands.some((x) => x.data.some((e) => String(e).includes(`#${d}`)))))
    return undefined;
  return tabulate(name, dtype, shape, (index) => rule(...operands.map((x) => entryAt(x, index))));
}

/** The entries under another shape, where that moves none of the symbolic axes; else undefined. */
export function reshapeKnown(x: Known, shape: Shape, name: string): Known | undefined {
  /** the symbolic axes, each with the number of entries before it */
  const symbols = (s: Shape) =>
    s.flatMap((d, i) =>
      typeof d === 'string' ? [d, storedShape(s.slice(0, i)).reduce((p, n) => p * n, 1)] : [],
    );
  const size = storedShape(shape).reduce((p, n) => p * n, 1);
  if (size !== x.data.length || !sameShape(symbols(x.shape), symbols(shape))) return undefined;
  return { ...x, name, shape };
}
