/** @file Stored grey values → 0 … 255: modality transform, window, polarity. Source: PS3.3, C.11. */
import { FileError } from '../../../graph-builder/errors.js';
import type { Frame, Samples } from './frames.js';
import { type DicomFile, frameSource, tags } from './header.js';
import { code, damagedRemedy, decimals, items, refuse, type Source, short, type Tag } from './values.js';

type Transform = (value: number) => number;

/** Without a window, this share of the pixels at each end is cut off. */
const CUT = 0.005;

interface Table {
  /** value of an input, the first or last one beyond the ends */
  readonly at: Transform;
  /** largest value of its bits */
  readonly most: number;
}

/** A LUT of a sequence's first item. */
function readTable(source: Source, sequence: Tag, signed: boolean): Table | undefined {
  const item = items(source, sequence)[0];
  if (!item) return undefined;
  const own = { where: source.where, sets: [item] };
  const count = short(own, tags.lutDescriptor) ?? refuse(tags.lutDescriptor, 'is missing', source.where);
  const first = short(own, tags.lutDescriptor, { signed, at: 1 })!;
  const bits = short(own, tags.lutDescriptor, { at: 2 })!;
  const entries = count === 0 ? 65536 : count;
  const data = item.elements[tags.lutData.key];
  if (bits < 1 || bits > 16) refuse(tags.lutDescriptor, 'is not of 1 to 16 bits', source.where);
  if (!data || data.length < 2 * entries) refuse(tags.lutData, 'is cut off', source.where);
  const values = Array.from({ length: entries }, (_, i) => item.uint16(tags.lutData.key, i)!);
  const clamp = (i: number) => Math.min(Math.max(i, 0), entries - 1);
  return { at: (value) => values[clamp(Math.floor(value) - first)]!, most: 2 ** bits - 1 };
}

/** Stored values → what was measured, e.g. Hounsfield units; undefined: the same. */
function modalityTransform(file: DicomFile, source: Source): Transform | undefined {
  const table = readTable(source, tags.modalityLut, file.layout.signed);
  if (table) return table.at;
  const [slope = 1] = decimals(source, tags.slope) ?? [];
  const [intercept = 0] = decimals(source, tags.intercept) ?? [];
  if (slope === 0) refuse(tags.slope, 'is 0', source.where);
  return slope === 1 && intercept === 0 ? undefined : (value) => value * slope + intercept;
}

const clamp01 = (share: number): number => Math.min(Math.max(share, 0), 1);

/** A window → 0 … 1; undefined when the file has none. Of several the first counts. */
function windowTransform(source: Source): Transform | undefined {
  const centre = decimals(source, tags.centre)?.[0];
  const width = decimals(source, tags.width)?.[0];
  if (centre === undefined || width === undefined) return undefined;
  const kind = code(source, tags.voiFunction) ?? 'LINEAR';
  if (kind === 'SIGMOID' && width > 0) return (x) => 1 / (1 + Math.exp((-4 * (x - centre)) / width));
  if (kind === 'LINEAR_EXACT' && width > 0) return (x) => clamp01((x - centre) / width + 0.5);
  if (kind === 'LINEAR' && width >= 1) {
    const [c, w] = [centre - 0.5, width - 1];
    return (x) => (x <= c - w / 2 ? 0 : x > c + w / 2 ? 1 : (x - c) / w + 0.5);
  }
  if (kind === 'LINEAR' || kind === 'LINEAR_EXACT' || kind === 'SIGMOID')
    return refuse(tags.width, 'is too small', source.where);
  return refuse(tags.voiFunction, 'is none of LINEAR, LINEAR_EXACT and SIGMOID', source.where);
}

/** Distinct values of a frame in ascending order, and how often each stands there. */
interface Histogram {
  readonly values: readonly number[];
  readonly counts: readonly number[];
}

/** Up to 16 bits are counted in an array: a radiograph has millions of pixels. */
const COUNTED = 65536;

function histogramOf(data: Samples): Histogram {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of data) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (high - low >= COUNTED) {
    const found = new Map<number, number>();
    for (const value of data) found.set(value, (found.get(value) ?? 0) + 1);
    const values = [...found.keys()].sort((a, b) => a - b);
    return { values, counts: values.map((value) => found.get(value)!) };
  }
  const counts = new Uint32Array(high - low + 1);
  for (const value of data) counts[value - low]! += 1;
  const present = Array.from(counts.keys()).filter((i) => counts[i]! > 0);
  return { values: present.map((i) => i + low), counts: present.map((i) => counts[i]!) };
}

/** A window from the values themselves, those of padding left out. */
function percentileTransform(
  { values, counts }: Histogram,
  measured: Transform,
  padding?: number,
): Transform {
  const rows = values.map((value, i) => ({ value, x: measured(value), count: counts[i]! }));
  const inside = rows.filter(({ value }) => value !== padding);
  const kept = (inside.length > 0 ? inside : rows).sort((a, b) => a.x - b.x);
  const total = kept.reduce((sum, { count }) => sum + count, 0);
  // the value at a rank, as if all pixels stood in a row
  const at = (share: number) => {
    const rank = Math.floor(share * (total - 1));
    let passed = 0;
    const found = kept.find(({ count }) => {
      passed += count;
      return passed > rank;
    });
    return found!.x;
  };
  const [low, high] = [at(CUT), at(1 - CUT)];
  if (high === low) return () => 0; // a blank image has no range to stretch
  return (x) => clamp01((x - low) / (high - low));
}

function voiTransform(
  file: DicomFile,
  frame: Frame,
  index: number,
  found: Histogram,
  measured?: Transform,
): Transform {
  const source = frameSource(file, index, tags.frameVoi);
  const { signed } = file.layout;
  const table = readTable(source, tags.voiLut, signed);
  if (table) return (x) => table.at(x) / table.most;
  const window = windowTransform(source);
  if (window) return window;
  // 8-bit pixels are meant to be seen as they are
  if (frame.bits <= 8 && !signed && !measured) return (x) => x / (2 ** frame.bits - 1);
  const padding = short({ where: file.where, sets: [file.set] }, tags.padding, { signed });
  return percentileTransform(found, measured ?? ((x) => x), padding);
}

/** The byte of each value. */
function looked(data: Samples, values: readonly number[], bytes: readonly number[]): Uint8Array {
  const grey = new Uint8Array(data.length);
  const low = values[0]!;
  if (values.at(-1)! - low >= COUNTED) {
    const table = new Map(values.map((value, i) => [value, bytes[i]!]));
    for (let i = 0; i < data.length; i++) grey[i] = table.get(data[i]!)!;
    return grey;
  }
  const table = new Uint8Array(values.at(-1)! - low + 1);
  for (const [i, value] of values.entries()) table[value - low] = bytes[i]!;
  for (let i = 0; i < data.length; i++) grey[i] = table[data[i]! - low]!;
  return grey;
}

/**
 * A grey frame as it is to be seen: uint8 [rows, columns].
 *
 * Modality LUT or rescale slope and intercept; then VOI LUT, window, or, where neither is given, the window that
 * spans all but 0.5% of the pixels at each end (8-bit images are left as they are); MONOCHROME1 is inverted.
 * @throws {FileError} for numbers that make no sense.
 */
export function renderGrey(file: DicomFile, frame: Frame, index: number): Uint8Array {
  const measured = modalityTransform(file, frameSource(file, index, tags.frameTransform));
  const { data } = frame;
  const found = histogramOf(data);
  const seen = voiTransform(file, frame, index, found, measured);
  const inverted = frame.photometric === 'MONOCHROME1';
  const bytes = found.values.map((stored) => {
    const byte = Math.floor(255 * seen(measured ? measured(stored) : stored) + 0.5);
    if (!Number.isFinite(byte))
      throw new FileError("the DICOM file's window makes no grey value", file.where, damagedRemedy);
    return inverted ? 255 - byte : byte;
  });
  return looked(data, found.values, bytes);
}
