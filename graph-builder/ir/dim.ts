/** @file Arithmetic on symbolic axis lengths: products such as '17*batch', sums as opaque names. */
import type { Dim, Shape } from './types.js';

interface Monomial {
  readonly factor: number;
  readonly names: readonly string[]; // sorted
}

function parse(dim: Dim): Monomial {
  if (typeof dim === 'number') return { factor: dim, names: [] };
  let factor = 1;
  const names: string[] = [];
  for (const part of dim.split('*')) {
    if (/^\d+$/.test(part)) factor *= Number(part);
    else names.push(part);
  }
  return { factor, names: names.sort() };
}

function format({ factor, names }: Monomial): Dim {
  if (names.length === 0) return factor;
  return factor === 1 ? names.join('*') : [factor, ...names].join('*');
}

/** Product of axis lengths in canonical form: `product([17, 'batch'])` is '17*batch'. */
export function product(dims: Shape): Dim {
  const parts = dims.map(parse);
  return format({
    factor: parts.reduce((p, m) => p * m.factor, 1),
    names: parts.flatMap((m) => m.names).sort(),
  });
}

/** `whole / part`, or undefined when it does not divide: `quotient('17*batch', 17)` is 'batch'. */
export function quotient(whole: Dim, part: Dim): Dim | undefined {
  const a = parse(whole);
  const b = parse(part);
  const names = [...a.names];
  for (const name of b.names) {
    const i = names.indexOf(name);
    if (i < 0) return undefined;
    names.splice(i, 1);
  }
  if (a.factor % b.factor !== 0) return undefined;
  return format({ factor: a.factor / b.factor, names });
}

/** Sum of axis lengths; symbolic sums are opaque names. */
export function sum(dims: Shape): Dim {
  const numbers = dims.filter((d) => typeof d === 'number').reduce((s, d) => s + d, 0);
  const names = dims.filter((d) => typeof d === 'string');
  if (names.length === 0) return numbers;
  return [...names, ...(numbers > 0 ? [numbers] : [])].join('+');
}

/** An index past the end of every axis: a range up to it reads to the end. */
export const END = 2 ** 31 - 1;

/** `whole − part`: `difference('tokens+10', 10)` is 'tokens', `difference('tokens', 2)` the opaque 'tokens-2'. */
export function difference(whole: Dim, part: number): Dim {
  if (part === 0) return whole;
  if (typeof whole === 'number') return whole - part;
  const [, name, added] = /^(.*?)(?:\+(\d+))?$/.exec(whole)!;
  const rest = Number(added ?? 0) - part;
  return rest === 0 ? name! : rest > 0 ? `${name}+${rest}` : `${name}${rest}`;
}

export const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((dim, i) => dim === b[i]);

/**
 * Shape of an element-wise result under ONNX's (NumPy's) broadcasting, or undefined if the shapes clash.
 * @example broadcast(['batch', 1, 4], [3, 1]) // ['batch', 3, 4]
 */
export function broadcast(a: Shape, b: Shape): Shape | undefined {
  const rank = Math.max(a.length, b.length);
  const result: Dim[] = [];
  for (let i = 0; i < rank; i++) {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) return undefined;
    result.push(x === 1 ? y : x);
  }
  return result;
}
