/** @file How long a study takes: what is given, and what is expected of each run. */
import { UserError } from '../../../graph-builder/errors.js';
import type { Row, StudyRun } from './row.js';

const units = { s: 1, m: 60, min: 60, h: 3600, d: 86_400 } as const;

/**
 * Seconds of e.g. '90s', '45m', '2h', '1h30m'.
 *
 * @throws {UserError} when it is none, or no time at all.
 */
export function parseBudget(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)\s*(min|[smhd])/g)];
  const whole = /^\s*(\d+(\.\d+)?\s*(min|[smhd])\s*)+$/.test(text);
  const seconds = parts.reduce((sum, [, n, unit]) => sum + Number(n) * units[unit as keyof typeof units], 0);
  if (whole && seconds > 0) return seconds;
  throw new UserError(`'${text}' is no time to work with`, '--budget', 'write e.g. 45m, 2h or 1h30m');
}

export function formatSeconds(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/**
 * Time of a run relative to full training, by what happens to image encoder, JTM encoder and decoder. Measured at
 * miss-tiny; a frozen image encoder is computed once. Used only until a row of the same placement has run.
 */
const shares = [
  { F: 0.2, P: 0.6, T: 0.55 },
  { F: 0.05, P: 0.1, T: 0.2 },
  { F: 0.05, P: 0.15, T: 0.25 },
];
/** Longer questions. */
const INSTRUCTION = 1.8;
/** Loading, and answering the test questions, in epochs of full training. */
const FIXED_EPOCHS = 0.7;

function relative({ placement, form, trained, train }: Row): number {
  if (!trained) return FIXED_EPOCHS;
  const letters = placement.split('/') as ('F' | 'P' | 'T')[];
  const share = letters.reduce((sum, letter, i) => sum + shares[i]![letter], 0);
  return share * Number(train.epochs ?? 10) * (form === 'instruction' ? INSTRUCTION : 1) + FIXED_EPOCHS;
}

export interface Measured {
  readonly run: StudyRun;
  readonly seconds: number;
  /** inside an operator; undefined: not known */
  readonly threads?: number | undefined;
}

/** Those with as many threads as now where there are any: with others the same run takes another time. */
export function comparable(measured: readonly Measured[], threads: number): readonly Measured[] {
  const same = measured.filter((m) => m.threads === threads);
  return same.length > 0 ? same : measured;
}

/**
 * Seconds that a run will take, from those that are measured: the same row's, else runs of its placement, else all,
 * scaled. Undefined before anything is measured.
 */
export function expectedSeconds({ row }: StudyRun, measured: readonly Measured[]): number | undefined {
  const alike = [
    ({ id }: Row) => id === row.id,
    ({ placement, form, trained }: Row) =>
      placement === row.placement && form === row.form && trained === row.trained,
    ({ trained }: Row) => trained,
    () => true,
  ];
  for (const isAlike of alike) {
    const of = measured.filter((m) => isAlike(m.run.row));
    const sum = of.reduce((s, m) => s + m.seconds / relative(m.run.row), 0);
    if (of.length > 0) return (sum / of.length) * relative(row);
  }
  return undefined;
}

/**
 * Seconds until several runs have ended, so many at a time, of which a share may be done; undefined before anything is
 * measured.
 */
export function expectedTotal(
  runs: readonly StudyRun[],
  measured: readonly Measured[],
  jobs = 1,
  shareDone: (run: StudyRun) => number = () => 0,
): number | undefined {
  let [sum, longest] = [0, 0];
  for (const run of runs) {
    const whole = expectedSeconds(run, measured);
    if (whole === undefined) return undefined;
    const seconds = whole * (1 - shareDone(run));
    sum += seconds;
    longest = Math.max(longest, seconds);
  }
  return Math.max(sum / jobs, longest);
}
