/** @file The paper's findings, one by one, judged by rules that are written down before any number is seen. */
import type { SeedMean } from '../../../datasets/scoring/over-seeds.js';
import type { RowResult } from './collect.js';
import { methodOf } from './paper.js';
import { BASE, type Row } from './row.js';
import { contrast, isTie } from './scores.js';

export type Verdict = 'confirms' | 'contradicts' | 'cannot decide';

export interface Finding {
  readonly claim: string;
  /** what is compared, and when it confirms or contradicts */
  readonly rule: string;
  readonly verdict: Verdict;
  /** A minus B over all test questions; null when rows are missing */
  readonly difference: SeedMean | null;
  /** rows that it rests on */
  readonly rows: readonly string[];
  readonly reason: string;
}

interface Sides {
  readonly a: readonly RowResult[];
  readonly b: readonly RowResult[];
}

interface Rule {
  readonly claim: string;
  readonly rule: string;
  /** the claim holds if A is better than B */
  sides(rows: readonly RowResult[]): Sides;
  /** rows without which nothing is said */
  readonly needs?: number;
  /** said beside it, decides nothing */
  beside?(rows: readonly RowResult[]): Sides & { readonly what: string };
}

const byId = (rows: readonly RowResult[], id: string) => rows.filter(({ row }) => row.id === id);

/** Rows with a partner that differs in one thing: both sides in the same order. */
function pairs(rows: readonly RowResult[], partner: (row: RowResult['row']) => string | undefined): Sides {
  const both = rows.flatMap((b): [RowResult, RowResult][] => {
    const id = partner(b.row);
    const a = id === undefined || id === b.row.id ? undefined : byId(rows, id)[0];
    return a ? [[a, b]] : [];
  });
  return { a: both.map(([a]) => a), b: both.map(([, b]) => b) };
}

/** Grid rows at a placement: not full training, not the other form. */
const at = (rows: readonly RowResult[], test: (variant: string, placement: string) => boolean) =>
  rows.filter(
    ({ row }) =>
      row.form === 'original' && row.tables.length > 0 && test(methodOf(row.variant), row.placement),
  );

/** Adapters in text modules, nothing else. */
const tiny = /^F\/[FP]\/P$/;

const interval = 'the 95% interval of the mean paired difference lies above 0; contradicts if below';

export const rules: readonly Rule[] = [
  {
    claim: 'Freezing the image encoder hurts.',
    rule: `Rows with a frozen image encoder (F/P/P, F/T/P) against the same method with it trained (T/P/P, T/T/P). Confirms if ${interval}.`,
    sides: (rows) =>
      pairs(rows, ({ id, form, placement }) =>
        form === 'original' && /^F\/[PT]\/P$/.test(placement) ? id.replace(/-f(?=[pt]p$)/, '-t') : undefined,
      ),
  },
  {
    claim: 'LoRA and prefix tuning are the best methods.',
    needs: 4,
    rule: `At T/T/P: the mean of LoRA (rank 8) and prefix tuning against the mean of (IA)3 and P-tuning v2. Confirms if ${interval}.`,
    sides: (rows) => {
      const ttp = at(rows, (_, placement) => placement === 'T/T/P');
      const of = (...ids: string[]) => ttp.filter(({ row }) => ids.includes(row.variant));
      return { a: of('lora-r8', 'prefix-n10'), b: of('ia3', 'ptv2-n10') };
    },
  },
  {
    claim: 'Adapters in the text modules alone, a tiny fraction of the parameters, fail.',
    rule: `The same method at T/T/P against rows that only have adapters in text modules (F/P/P, F/F/P). Confirms that these fall behind if ${interval}.`,
    sides: (rows) =>
      pairs(rows, ({ id, form, placement }) =>
        form === 'original' && tiny.test(placement) ? id.replace(/-f[fp]p$/, '-ttp') : undefined,
      ),
    beside: (rows) => ({
      what: 'these rows against the base, not tuned',
      a: at(rows, (_, placement) => tiny.test(placement)),
      b: byId(rows, BASE),
    }),
  },
  {
    claim: 'Training on instruction data alone hurts.',
    rule: `Every row that was trained on original and on instruction data: original against instruction. Confirms if ${interval}.`,
    sides: (rows) => {
      const { a, b } = pairs(rows, ({ id, form, after }) =>
        form === 'instruction' && after === null ? id.replace(/-instruct$/, '') : undefined,
      );
      return { a, b };
    },
  },
  {
    claim: 'Instruction data help as a second stage after full training.',
    rule: `Full training followed by instruction data against full training alone. Confirms if ${interval}. The second stage also trains longer; no row tells these two apart.`,
    sides: (rows) => ({ a: byId(rows, 'full-then-instruct'), b: byId(rows, 'full') }),
  },
];

const percent = (share: number): string => (100 * share).toFixed(1);

const inPoints = ({ mean, low, high }: SeedMean): string =>
  `${mean >= 0 ? '+' : ''}${percent(mean)} points [${percent(low)}, ${percent(high)}]`;

/** Longer lists are cut: what is missing is named in full elsewhere. */
const MOST_NAMES = 4;

function named(ids: readonly string[]): string {
  const more = ids.length - MOST_NAMES;
  return more > 1 ? `${ids.slice(0, MOST_NAMES).join(', ')} and ${more} more` : ids.join(', ');
}

/** What a rule lacks of the rows that the study has planned for it, in words; nothing: ''. */
function lacking(wanted: Sides, rows: readonly RowResult[], done: readonly RowResult[]): string {
  const has = (list: readonly RowResult[], id: string) => byId(list, id).length > 0;
  const ids = [...new Set([...wanted.a, ...wanted.b].map(({ row }) => row.id))];
  const missing = ids.filter((id) => !has(rows, id));
  const short = ids.filter((id) => has(rows, id) && !has(done, id));
  return [
    ...(missing.length > 0 ? [`rows missing: ${named(missing)}`] : []),
    ...(short.length > 0 ? [`rows not trained to the end: ${named(short)}`] : []),
  ].join('; ');
}

function judge(
  { claim, rule, needs = 2, sides, beside }: Rule,
  rows: readonly RowResult[],
  planned: readonly Row[],
): Finding {
  const done = rows
    .map(({ row, runs }) => ({ row, runs: runs.filter((r) => r.toTheEnd) }))
    .filter(({ runs }) => runs.length > 0);
  const { a, b } = sides(done);
  const wanted = sides(planned.map((row) => byId(rows, row.id)[0] ?? { row, runs: [] }));
  const isPlanned = wanted.a.length > 0 && wanted.b.length > 0 && wanted.a.length + wanted.b.length >= needs;
  const found = a.length + b.length >= needs ? contrast(a, b) : undefined;
  const lacks = lacking(wanted, rows, done);
  const base = { claim, rule, rows: [...a, ...b].map(({ row }) => row.id) };
  if (!found) {
    const reason = isPlanned
      ? lacks || 'the rows it needs have no seed in common'
      : 'rows missing: this study was not asked for those it needs';
    return { ...base, verdict: 'cannot decide', difference: null, reason };
  }
  const verdict = isTie(found) ? 'cannot decide' : found.mean > 0 ? 'confirms' : 'contradicts';
  const other = beside?.(done);
  const second = other && contrast(other.a, other.b);
  const reason = [
    `${lacks ? 'so far ' : ''}${inPoints(found)}, ${a.length} against ${b.length} rows`,
    ...(lacks ? [lacks] : []),
    ...(second ? [`${other.what}: ${inPoints(second)}`] : []),
  ].join('; ');
  return { ...base, verdict, difference: found, reason };
}

/** Judges all findings on the rows that are finished, of those planned; rows not trained to the end support none. */
export const findings = (
  rows: readonly RowResult[],
  planned: readonly Row[] = rows.map(({ row }) => row),
): Finding[] => rules.map((rule) => judge(rule, rows, planned));
