/** @file Dropout whose masks are functions of the sample, never of its place in the batch. */
import type { GraphBuilder } from '../ir/builder.js';
import { product, quotient } from '../ir/dim.js';
import type { Dim, Value } from '../ir/types.js';

/** 32-bit FNV-1a of a site's name, made odd so that multiplying by it loses nothing. */
function siteNumber(site: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < site.length; i++) h = Math.imul(h ^ site.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  return (h ^ (h >>> 13)) | 1;
}

/** `length` pseudo-random odd int32 numbers, one a column, the same in every graph. */
export function columnNumbers(g: GraphBuilder, length: number, kind = 'column'): Value {
  return g.constant(
    Array.from({ length }, (_, i) => siteNumber(`${kind} ${i}`)),
    [length],
    'int32',
  );
}

interface Noise {
  readonly rate: number;
  readonly rows: Value;
  readonly columns?: Value;
  readonly site: string;
}

/**
 * 0 with probability `rate`, else 1, float32 and shaped as x: dropout without its factor 1/(1 − rate).
 *
 *   keep(i, j) = seed_i · site · column_j mod 2³² > threshold
 *
 * A product of odd 32-bit numbers is a hash that every execution provider computes alike (int32 Mul), needs
 * no mask from outside and is a function of (sample, site, element): accumulation, grouping and resume see
 * the same masks.
 *
 * Seeds must be odd: an even one loses bits, and 0 drops nothing.
 * Shapes: x [..., columns] float32; `rows` int32, broadcastable to x without its last axis (length 1 there);
 * `columns` int32, broadcastable to x (default: a table of the last axis, which is then of fixed length).
 */
export function keepMask(g: GraphBuilder, x: Value, { rate, rows, columns, site }: Noise): Value {
  const table = columns ?? columnNumbers(g, x.shape.at(-1) as number);
  const number = g.mul(g.mul(rows, g.scalar(siteNumber(site), 'int32')), table);
  const threshold = g.scalar(Math.round((rate - 0.5) * 2 ** 32), 'int32');
  // a comparison that is cast: ONNX Runtime's Where takes three times as long
  return g.cast(g.op('Greater', [number, threshold], {}), 'float32');
}

/** Multiplies by 0 with probability `rate`, else by 1/(1 − rate): see {@link keepMask}. */
export const dropout = (g: GraphBuilder, x: Value, noise: Noise): Value =>
  g.mul(x, g.mul(keepMask(g, x, noise), 1 / (1 - noise.rate)));

/**
 * A mask that {@link dropout} made, [..., columns], with `added` columns before its own that have numbers of
 * their own; undefined for any other value.
 */
export function widenDropoutMask(g: GraphBuilder, mask: Value, added: Dim): Value | undefined {
  const made = (v: Value | undefined, op: string) => {
    const node = v && g.producerOf(v);
    return node?.op === op ? (node.inputs as readonly Value[]) : undefined;
  };
  const scaled = made(mask, 'Mul');
  const compared = made(made(scaled?.[0], 'Cast')?.[0], 'Greater');
  const numbers = made(compared?.[0], 'Mul');
  if (!scaled || !compared || !numbers || typeof added !== 'number') return undefined;
  const number = g.mul(numbers[0]!, columnNumbers(g, added, 'added column'));
  const keep = g.cast(g.op('Greater', [number, compared[1]!], {}), 'float32');
  return g.op('Concat', [g.mul(keep, scaled[1]!), mask], { axis: -1 });
}

/** Inputs that carry the seeds, one odd int32 a sample or token; graphs without dropout have none. */
export const seedInputs = {
  image: 'image_seed',
  question: 'question_seed',
  answer: 'answer_seed',
} as const;

/**
 * Seeds of the rows of a flattened tensor [rows, width], as int32 [rows, 1], found by the length of its row
 * axis: tokens of questions and answers have a seed each, image tokens share their image's.
 */
export function rowSeeds(g: GraphBuilder, rows: Dim): Value {
  for (const name of [seedInputs.question, seedInputs.answer]) {
    const seeds = g.findInput(name);
    if (seeds && product(seeds.shape) === rows) return g.reshape(seeds, [rows, 1]);
  }
  const images = g.findInput(seedInputs.image);
  const tokens = images && quotient(rows, images.shape[0]!);
  if (!images || typeof tokens !== 'number') throw new Error(`internal: no seeds for ${rows} rows`);
  const each = g.mul(
    g.reshape(images, [images.shape[0]!, 1]),
    g.reshape(columnNumbers(g, tokens), [1, tokens]),
  );
  return g.reshape(each, [rows, 1]);
}

/** Column numbers of the tokens at `positions` int32 [batch, tokens], for axes of unknown length. */
export function tokenColumns(g: GraphBuilder, positions: Value, maxPositions: number): Value {
  return g.gather(columnNumbers(g, maxPositions), positions);
}
