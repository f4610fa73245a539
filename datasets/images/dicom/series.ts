/** @file Where a slice lies in its series. */
import dicomParser, { type DataSet } from 'dicom-parser';
import { hasPreamble } from './is-dicom.js';

/** Of one file. The series' identifier is for comparing only: it is never shown or kept. */
export interface SlicePlace {
  readonly series: string;
  /** millimetres along the normal of the slices */
  readonly position: number | undefined;
  readonly instance: number | undefined;
}

const numbers = (set: DataSet, key: string): number[] =>
  (set.string(key) ?? '').split('\\').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));

/** Position · (row direction × column direction); undefined where the file does not say it. */
function positionOf(set: DataSet): number | undefined {
  const [x, y, z] = numbers(set, 'x00200032');
  const [a, b, c, d, e, f] = numbers(set, 'x00200037');
  const along = x! * (b! * f! - c! * e!) + y! * (c! * d! - a! * f!) + z! * (a! * e! - b! * d!);
  return Number.isFinite(along) ? along : undefined;
}

/** Undefined for what is no DICOM image. */
export function slicePlace(bytes: Uint8Array): SlicePlace | undefined {
  if (!hasPreamble(bytes)) return undefined;
  try {
    const set = dicomParser.parseDicom(bytes, { untilTag: 'x7fe00010' });
    if (!set.elements.x7fe00010) return undefined;
    const [instance] = numbers(set, 'x00200013');
    return {
      series: set.string('x0020000e') ?? '',
      position: positionOf(set),
      instance: Number.isInteger(instance) ? instance : undefined,
    };
  } catch {
    return undefined;
  }
}

/** Places in the order of the slices: by position, else by instance number, else as they are. */
export function inSliceOrder<T extends SlicePlace>(places: readonly T[]): T[] {
  for (const key of ['position', 'instance'] as const)
    if (places.every((place) => place[key] !== undefined))
      return places.toSorted((a, b) => a[key]! - b[key]!);
  return [...places];
}
