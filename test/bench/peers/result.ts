/** @file What a row found, as a line of the table. */
import { median } from '../measure.js';
import type { Row } from '../table.js';
import { ratioInterval } from './ratio.js';

/** Fewer pairs say nothing about an interval. */
const FEWEST = 3;

export interface Measurement {
  /** seconds, in the order of the rounds; of the peer none where it has no such work */
  readonly ours: readonly number[];
  readonly peer: readonly number[];
  readonly oursBytes?: number;
  readonly peerBytes?: number;
}

export interface Goals {
  /** least time of the peer / ours */
  readonly goal?: number | undefined;
  /** largest memory of ours / the peer's */
  readonly memoryGoal?: number | undefined;
  /** most seconds of ours */
  readonly most?: number | undefined;
}

export interface Result extends Measurement, Goals {
  readonly row: string;
  readonly what: string;
  /** how PyTorch ran */
  readonly setting: string;
  /** seconds of each setting that was tried, or why there is none */
  readonly tried?: Readonly<Record<string, number | string>>;
  readonly ratio: number | null;
  readonly interval: { readonly low: number; readonly high: number } | null;
  readonly memoryRatio: number | null;
  /** relative difference of the two programs' losses */
  readonly lossDifference?: number;
  /** largest difference that rounding explains: above it, the two do not do the same work */
  readonly tolerance?: number;
  readonly notes?: readonly string[];
}

type Facts = Pick<Result, 'row' | 'what' | 'setting'> &
  Goals &
  Partial<Pick<Result, 'tried' | 'lossDifference' | 'tolerance' | 'notes'>>;

export function resultOf(facts: Facts, measured: Measurement): Result {
  const { ours, peer, oursBytes, peerBytes } = measured;
  const compares = ours.length > 0 && peer.length > 0;
  return {
    ...facts,
    ...measured,
    ratio: compares ? median(peer) / median(ours) : null,
    interval: Math.min(ours.length, peer.length) >= FEWEST ? ratioInterval(peer, ours) : null,
    memoryRatio: oursBytes && peerBytes ? oursBytes / peerBytes : null,
  };
}

/** Whether the two programs did the same work, as far as their losses tell. */
export const isSameWork = ({ lossDifference, tolerance }: Result): boolean =>
  lossDifference === undefined || tolerance === undefined || lossDifference <= tolerance;

/** Each goal with whether it is reached. */
export function judge(result: Result): { goal: string; reached: boolean }[] {
  const { goal, memoryGoal, most, ratio, memoryRatio, ours } = result;
  return [
    ...(goal !== undefined && ratio !== null ? [{ goal: `ratio >= ${goal}`, reached: ratio >= goal }] : []),
    ...(memoryGoal !== undefined && memoryRatio !== null
      ? [{ goal: `GB <= ${memoryGoal}`, reached: memoryRatio <= memoryGoal }]
      : []),
    ...(most !== undefined ? [{ goal: `< ${most} s`, reached: median(ours) < most }] : []),
  ];
}

/** Three digits that count. */
const digits = (value: number): string => (value === 0 ? '0' : String(Number(value.toPrecision(3))));

export function tableRow(result: Result): Row {
  const { ours, peer, ratio, interval, oursBytes, peerBytes, memoryRatio, lossDifference, setting } = result;
  const judged = judge(result);
  const verdicts = judged.map(({ reached }) => (reached ? 'yes' : 'NO'));
  const gigabytes = (bytes: number | undefined) => (bytes ? digits(bytes / 1e9) : '');
  return {
    row: result.row,
    'ours s': digits(median(ours)),
    'peer s': peer.length > 0 ? digits(median(peer)) : '',
    peer: peer.length > 0 ? setting : '',
    ratio: ratio === null ? '' : ratio.toFixed(2),
    '95%': interval ? `${interval.low.toFixed(2)}-${interval.high.toFixed(2)}` : '',
    'ours GB': gigabytes(oursBytes),
    'peer GB': gigabytes(peerBytes),
    'GB ratio': memoryRatio === null ? '' : memoryRatio.toFixed(2),
    goal: judged.map(({ goal }) => goal).join('; '),
    reached: isSameWork(result) ? verdicts.join('; ') : 'NOT THE SAME WORK',
    'loss differs by': lossDifference === undefined ? '' : lossDifference.toExponential(0),
    rounds: ours.length,
  };
}
