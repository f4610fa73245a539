/** @file The tables of a study's report: the paper's form, its own figures beside ours. */
import type { SeedMean } from '../../../datasets/scoring/over-seeds.js';
import type { Collected, RowResult, RunResult } from './collect.js';
import type { TableBlock } from './document.js';
import { figuresOf, paperFigures } from './paper.js';
import { cellsOf } from './paper-grid.js';
import { type Comparison, scoresOf } from './scores.js';

export const percent = (share: number): string => (Number.isFinite(share) ? (100 * share).toFixed(1) : '-');
export const interval = ({ mean, low, high }: SeedMean): string =>
  Number.isFinite(mean) ? `${percent(mean)} [${percent(low)}, ${percent(high)}]` : '-';
export const signed = (share: number): string => `${share >= 0 ? '+' : ''}${percent(share)}`;

const printed = (value: number | null | undefined, digits = 2): string =>
  value === null || value === undefined ? '-' : value.toFixed(digits);

/** The mean of what the runs of a row measured. */
function measured({ runs }: RowResult, of: (run: RowResult['runs'][number]) => number | null): number | null {
  const values = runs.map(of).filter((v) => v !== null);
  return values.length === 0 ? null : values.reduce((a, b) => a + b, 0) / values.length;
}

/** Threads of a row's runs, each number once. */
export const threadsOf = (runs: readonly RunResult[]): string =>
  [...new Set(runs.flatMap(({ threads }) => threads ?? []))].sort((a, b) => a - b).join(', ') || '-';

/** Seeds, epochs, threads, seconds a step, peak memory, adapter size. */
function costs(row: RowResult): string[] {
  const [seconds, peak, adapter] = [
    measured(row, (r) => r.secondsPerStep),
    measured(row, (r) => r.peakBytes),
    measured(row, (r) => r.adapterBytes),
  ];
  return [
    String(row.runs.length),
    epochs(row),
    threadsOf(row.runs),
    printed(seconds, seconds !== null && seconds < 0.1 ? 3 : 2),
    peak === null ? '-' : printed(peak / 1e9),
    adapter === null ? '-' : printed(adapter / 1e6),
  ];
}

function epochs({ row, runs }: RowResult): string {
  if (!row.trained) return '0';
  const least = Math.min(...runs.map((r) => r.epochs));
  const short = runs.some((r) => !r.toTheEnd);
  return `${Number(least.toFixed(1))}${short ? ', not trained to the end' : ''}`;
}

const ours = (row: RowResult, all: Collected): string[] => {
  const { open, closed, all: both } = scoresOf(row, all);
  return [interval(open), interval(closed), interval(both)];
};

const costHead = ['seeds', 'epochs', 'threads', 's/step', 'peak GB', 'adapter MB'];

/** Tables 1 to 4, 6 and 7. */
export function paperTable(table: number, all: Collected): TableBlock | undefined {
  const order = [1, 2, 3, 4, 6, 7].includes(table)
    ? paperFigures()[`table${table as 1}`].map(({ variant, placement }) => `${variant} ${placement}`)
    : [];
  const rows = all.rows
    .filter(({ row }) => row.tables.includes(table))
    .toSorted((a, b) => {
      const at = ({ row }: RowResult) => order.indexOf(`${row.variant} ${row.placement}`);
      return at(a) - at(b);
    });
  if (rows.length === 0) return undefined;
  const ranks = rows.some(({ row }) => /-r\d+$/.test(row.variant));
  const memory = rows.some(({ row }) => figuresOf(table, row.variant, row.placement)?.memoryGb !== undefined);
  return {
    kind: 'table',
    words: 3 + Number(ranks),
    groups: [
      { title: '', span: 4 + Number(ranks) },
      { title: 'this study', span: 3 },
      { title: 'paper (SLAKE)', span: 4 + Number(memory) },
      { title: 'cost here', span: costHead.length },
    ],
    head: [
      ...['ViT', 'JTM', 'DEC', ...(ranks ? ['rank'] : []), '#params'],
      ...['opened', 'closed', 'global'],
      ...['#params', 'opened', 'closed', 'global', ...(memory ? ['GPU GB'] : [])],
      ...costHead,
    ],
    rows: rows.map((result) => {
      const { row, runs } = result;
      const paper = figuresOf(table, row.variant, row.placement);
      return [
        ...cellsOf(row),
        ...(ranks ? [/-r(\d+)$/.exec(row.variant)?.[1] ?? '-'] : []),
        `${runs[0]!.parameters.percent.toFixed(3)}%`,
        ...ours(result, all),
        paper ? `${paper.percent.toFixed(3)}%` : '-',
        ...[paper?.open, paper?.closed, paper?.all].map((v) => printed(v)),
        ...(memory ? [printed(paper?.memoryGb)] : []),
        ...costs(result),
      ];
    }),
  };
}

/** Which row of Table 5 a row of ours repeats. */
const table5Rows: Readonly<Record<string, readonly [method: string, tuning: string]>> = {
  full: ['MISS', 'full'],
  'full-instruct': ['MILE', 'instruction'],
  'full-then-instruct': ['MILE', 'full then instruction'],
};

export function stageTable(all: Collected): TableBlock | undefined {
  const rows = all.rows.filter(({ row }) => row.tables.includes(5));
  if (rows.length === 0) return undefined;
  return {
    kind: 'table',
    words: 1,
    groups: [
      { title: '', span: 2 },
      { title: 'this study', span: 3 },
      { title: 'paper, VQA-RAD', span: 3 },
      { title: 'paper, SLAKE', span: 3 },
      { title: 'cost here', span: costHead.length },
    ],
    head: [
      'tuning',
      '#params',
      ...['opened', 'closed', 'global'],
      ...Array(2).fill(['opened', 'closed', 'global']).flat(),
      ...costHead,
    ],
    rows: rows.map((result) => {
      const [method, tuning] = table5Rows[result.row.id] ?? [];
      const paper = paperFigures().table5.find((row) => row.method === method && row.tuning === tuning);
      const of = (scores: { open: number | null; closed: number | null; all: number } | undefined) =>
        [scores?.open, scores?.closed, scores?.all].map((v) => printed(v));
      const { percent: share } = result.runs[0]!.parameters;
      return [
        result.row.label,
        `${share.toFixed(1)}%`,
        ...ours(result, all),
        ...of(paper?.vqaRad),
        ...of(paper?.slake),
        ...costs(result),
      ];
    }),
  };
}

/** Rows of a grid of one's own, by what tells them apart; also rows that are in no table of the paper. */
export function otherRows(all: Collected): TableBlock | undefined {
  const rows = all.rows.filter(({ row }) => row.tables.length === 0);
  if (rows.length === 0) return undefined;
  const keys = [...new Set(rows.flatMap(({ row }) => Object.keys(row.varied)))];
  return {
    kind: 'table',
    words: keys.length === 0 ? 1 : keys.length,
    groups: [
      { title: '', span: Math.max(1, keys.length) + 1 },
      { title: 'this study', span: 3 },
      { title: 'cost', span: costHead.length },
    ],
    head: [...(keys.length > 0 ? keys : ['row']), '#params', 'opened', 'closed', 'global', ...costHead],
    rows: rows.map((result) => {
      const { row, runs } = result;
      const cells = keys.map((key) => String(row.varied[key] ?? '-'));
      const named = keys.length > 0 && row.trained ? cells : [row.label, ...cells.slice(1).map(() => '-')];
      return [...named, `${runs[0]!.parameters.percent.toFixed(3)}%`, ...ours(result, all), ...costs(result)];
    }),
  };
}

/** Against one row: the paired difference of all the others. */
export function comparisonTable(comparisons: readonly Comparison[], all: Collected): TableBlock {
  const label = (id: string) => all.rows.find(({ row }) => row.id === id)!.row.label;
  return {
    kind: 'table',
    words: 1,
    head: ['row', 'difference [95%], points', 'verdict', 'McNemar p, by seed'],
    rows: comparisons.map(({ b, difference, tie, p }) => [
      label(b),
      `${signed(difference.mean)} [${signed(difference.low)}, ${signed(difference.high)}]`,
      tie ? 'tie' : difference.mean > 0 ? 'worse' : 'better',
      p.map((v) => (v < 0.001 ? '<0.001' : v.toFixed(3))).join(', '),
    ]),
  };
}
