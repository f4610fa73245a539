/** @file Operators computed while a model is read: all their operands are known, or they ask for a shape. */
import type { DType, Shape } from '../../ir/types.js';
import { dtypeOf } from '../tensors.js';
import { axesOf, axisFrom, squeezed, unsqueezed } from './axes.js';
import { binaryRules, divideFloats, type Entry, positionOn, unaryRules } from './entries.js';
import { concat, expand, gather, gatherElements, gatherNd, slice } from './fold-movement.js';
import { elementwise, entryAt, isKnown, type Known, reshapeKnown, tabulate } from './known.js';
import type { Site } from './site.js';
import { targetShape } from './target-shape.js';

type Fold = (c: Site, ...operands: readonly Known[]) => Known | undefined;

const nameOf = (c: Site): string => c.outputs[0]!;
const vector = (c: Site, data: readonly Entry[]): Known =>
  c.known({ dtype: 'int64', shape: [data.length], data });
const comparisons = new Set([
  'Equal',
  'Less',
  'LessOrEqual',
  'Greater',
  'GreaterOrEqual',
  'And',
  'Or',
  'Not',
]);

/** start, start + step …; as many as a symbolic axis is long, if it counts its positions. */
function count(c: Site): Known | undefined {
  const [start, limit, step] = [0, 1, 2].map((i) => c.entries(i)![0]) as [Entry, Entry, Entry];
  const dtype = c.inputs[0]!.dtype;
  if (typeof limit === 'string' && /^\w+$/.test(limit) && start === 0 && step === 1) {
    return c.known({ dtype, shape: [limit], data: [positionOn(limit)] });
  }
  if (typeof start !== 'number' || typeof limit !== 'number' || typeof step !== 'number') return undefined;
  const length = Math.max(0, Math.ceil((limit - start) / step));
  return tabulate(nameOf(c), dtype, [length], ([i]) => start + i! * step);
}

function cumulate(c: Site, x: Known): Known | undefined {
  const axis = axisFrom(c, c.integers(1)![0]!, x.shape.length);
  if (c.number('exclusive', 0) || c.number('reverse', 0) || typeof x.shape[axis] === 'string')
    return undefined;
  return tabulate(nameOf(c), x.dtype, x.shape, (index) => {
    const upTo = Array.from({ length: index[axis]! + 1 }, (_, i) =>
      index.map((n, a) => (a === axis ? i : n)),
    );
    return upTo.map((at) => entryAt(x, at)).reduce(binaryRules.Add!);
  });
}

function filled(c: Site): Known | undefined {
  const value = c.tensor('value');
  const shape = c.entries(0)!;
  if (shape.some((d) => d === undefined)) return undefined;
  return tabulate(nameOf(c), value?.dtype ?? 'float32', shape as Shape, () => value?.data[0] ?? 0);
}

function cast(c: Site, x: Known, dtype: DType): Known {
  const convert = (e: Entry): Entry => {
    if (dtype === 'bool') return e === undefined || typeof e === 'string' ? undefined : Number(e !== 0);
    return typeof e === 'number' && dtype !== 'float32' ? Math.trunc(e) : e;
  };
  return tabulate(nameOf(c), dtype, x.shape, (index) => convert(entryAt(x, index)));
}

function constant(c: Site): Known {
  const tensor = c.tensor('value');
  if (tensor) return c.known(tensor);
  const ints = c.numbers('value_ints');
  if (ints) return vector(c, ints);
  const floats = c.numbers('value_floats');
  if (floats) return c.known({ dtype: 'float32', shape: [floats.length], data: floats });
  const int = c.number('value_int', Number.NaN);
  const isInt = !Number.isNaN(int);
  const value = isInt ? int : c.number('value_float', Number.NaN);
  if (Number.isNaN(value)) throw c.bad('a Constant without numbers is not supported');
  return c.known({ dtype: isInt ? 'int64' : 'float32', shape: [], data: [value] });
}

const typeOf = (op: string, operands: readonly Known[]): DType =>
  comparisons.has(op) ? 'bool' : operands[0]!.dtype;

const binary: Fold = (c, ...operands) => {
  const isFloatDivision = c.op === 'Div' && operands[0]!.dtype === 'float32';
  const rule = isFloatDivision ? divideFloats : binaryRules[c.op]!;
  const folded = (...entries: Entry[]) => entries.reduce((a, b) => rule(a, b));
  return elementwise(nameOf(c), typeOf(c.op, operands), operands, folded);
};

const unary: Fold = (c, x) => elementwise(nameOf(c), typeOf(c.op, [x]), [x], unaryRules[c.op]!);

/** All operands are known. */
const folds: Readonly<Record<string, Fold>> = {
  ...Object.fromEntries(Object.keys(binaryRules).map((op) => [op, binary])),
  ...Object.fromEntries(Object.keys(unaryRules).map((op) => [op, unary])),
  Where: (c, condition, x, y) =>
    elementwise(nameOf(c), x!.dtype, [condition!, x!, y!], (is, a, b) =>
      a === b || is === 1 ? a : is === 0 ? b : undefined,
    ),
  Cast: (c, x) => cast(c, x, dtypeOf(c.number('to', 0), c.where)),
  Constant: constant,
  ConstantOfShape: filled,
  Range: count,
  CumSum: cumulate,
  Expand: expand,
  Concat: concat,
  Slice: slice,
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherNd,
  Squeeze: (c, x) => reshapeKnown(x, squeezed(c, x.shape, axesOf(c, 1)), nameOf(c)),
  Unsqueeze: (c, x) => reshapeKnown(x, unsqueezed(c, x.shape, axesOf(c, 1) ?? []), nameOf(c)),
  Reshape: (c, x) => {
    const shape = targetShape(x.shape, c.entries(1)!, c.number('allowzero', 0) === 1);
    return shape && reshapeKnown(x, shape, nameOf(c));
  },
};

/** The lengths of the axes from `start` to `end`. */
function shapeVector(c: Site, shape: Shape): Known {
  return vector(c, shape.slice(c.number('start', 0), c.number('end', shape.length)));
}

/** Two axes of one symbolic length, and positions that may count either. */
function isAmbiguous({ shape, data }: Known): boolean {
  const twice = shape.filter((d, i) => typeof d === 'string' && shape.indexOf(d) !== i);
  return twice.some((d) => data.some((e) => typeof e === 'string' && e.includes(`#${d}`)));
}

/** What the node gives, if that can be known now. */
export function fold(c: Site): Known | undefined {
  const known = evaluate(c);
  return known && !isAmbiguous(known) ? known : undefined;
}

function evaluate(c: Site): Known | undefined {
  if (c.domain !== '') return undefined;
  const [x, like] = c.inputs;
  if (c.op === 'Shape' && x) return shapeVector(c, x.shape);
  if (c.op === 'CastLike' && isKnown(x) && like) return cast(c, x, like.dtype);
  const rule = folds[c.op];
  const operands = c.inputs.filter((x) => x !== undefined);
  if (!rule || !Object.hasOwn(folds, c.op) || !operands.every(isKnown)) return undefined;
  return rule(c, ...operands);
}
