/**
 * @file Arithmetic on entries of tensors that are known while a model is read.
 *
 * An entry is a number, an axis length known only at run time ('batch', '7*batch'), the position along such an
 * axis ('#batch': 0, 1, 2 … down the axis), a sum of these ('7*#batch+3'), or undefined: not known.
 */
import { difference, product, quotient, sum } from '../../ir/dim.js';
import type { Dim } from '../../ir/types.js';

export type Entry = Dim | undefined;
export type EntryRule = (a: Entry, b: Entry) => Entry;

const isSum = (a: string): boolean => /[+-]/.test(a);

/** The least value of a symbolic entry: axes are not empty, positions start at 0. */
function least(a: string): number {
  if (a.includes('-')) return Number.NEGATIVE_INFINITY;
  return a.includes('#') ? 0 : 1;
}

const numeric =
  (
    rule: (a: number, b: number) => number,
    otherwise: (a: Dim, b: Dim) => Entry = () => undefined,
  ): EntryRule =>
  (a, b) => {
    if (a === undefined || b === undefined) return undefined;
    return typeof a === 'number' && typeof b === 'number' ? rule(a, b) : otherwise(a, b);
  };

const add = numeric(
  (a, b) => a + b,
  (a, b) => {
    if (typeof b === 'number') return difference(a, -b);
    return typeof a === 'number' ? difference(b, -a) : sum([a, b]);
  },
);

const sub = numeric(
  (a, b) => a - b,
  (a, b) => {
    if (a === b) return 0;
    return typeof b === 'number' ? difference(a, b) : undefined;
  },
);

const mul = numeric(
  (a, b) => a * b,
  (a, b) => {
    if (a === 1) return b;
    if (b === 1) return a;
    const isFactor = (v: Dim) => (typeof v === 'number' ? Number.isInteger(v) && v > 0 : !isSum(v));
    return isFactor(a) && isFactor(b) ? product([a, b]) : undefined;
  },
);

/** Division of integers, towards zero. */
const divideIntegers = numeric(
  (a, b) => Math.trunc(a / b),
  (a, b) => {
    if (b === 1) return a;
    return [a, b].some((v) => typeof v === 'string' && isSum(v)) ? undefined : quotient(a, b);
  },
);

/** a ≥ b */
const atLeast = numeric(
  (a, b) => Number(a >= b),
  (a, b) => {
    if (a === b) return 1;
    if (typeof a === 'string' && typeof b === 'number') return b <= least(a) ? 1 : undefined;
    return typeof b === 'string' && typeof a === 'number' && a < least(b) ? 0 : undefined;
  },
);

const equal = numeric(
  (a, b) => Number(a === b),
  (a, b) => {
    if (a === b) return 1;
    const [symbol, number] = typeof a === 'string' ? [a, b] : [b as string, a];
    return typeof number === 'number' && number < least(symbol) ? 0 : undefined;
  },
);

const not = (a: Entry): Entry => (typeof a === 'number' ? Number(a === 0) : undefined);

/** ONNX's element-wise operators of two operands, by name. */
export const binaryRules: Readonly<Record<string, EntryRule>> = {
  Add: add,
  Sub: sub,
  Mul: mul,
  Div: divideIntegers,
  Pow: numeric((a, b) => a ** b),
  Max: numeric(Math.max),
  Min: numeric(Math.min),
  Equal: equal,
  GreaterOrEqual: atLeast,
  LessOrEqual: (a, b) => atLeast(b, a),
  Less: (a, b) => not(atLeast(a, b)),
  Greater: (a, b) => not(atLeast(b, a)),
  And: numeric((a, b) => Number(a !== 0 && b !== 0)),
  Or: numeric((a, b) => Number(a !== 0 || b !== 0)),
};

export const divideFloats: EntryRule = numeric((a, b) => a / b);

const onNumber =
  (rule: (a: number) => number) =>
  (a: Entry): Entry =>
    typeof a === 'number' ? rule(a) : undefined;

/** … and of one. */
export const unaryRules: Readonly<Record<string, (a: Entry) => Entry>> = {
  Not: not,
  Neg: onNumber((a) => -a),
  Sqrt: onNumber(Math.sqrt),
  Reciprocal: onNumber((a) => 1 / a),
};

/** `factor·#axis + offset`: the element that sample number #axis reads of its own `factor` elements. */
export function parsePosition(entry: Entry): { factor: number; axis: string; offset: number } | undefined {
  const match = typeof entry === 'string' ? /^(?:(\d+)\*)?#(\w+)(?:\+(\d+))?$/.exec(entry) : null;
  if (!match) return undefined;
  return { factor: Number(match[1] ?? 1), axis: match[2]!, offset: Number(match[3] ?? 0) };
}

/** The position along `axis`, e.g. '#batch'. */
export const positionOn = (axis: string): Entry => `#${axis}`;
