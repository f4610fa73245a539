/** @file Values of elements, read strictly: a crafted number must not bend the pixels. No message quotes a value. */
import type { DataSet } from 'dicom-parser';
import { FileError } from '../../../graph-builder/errors.js';

/** An element that rendering reads. */
export interface Tag {
  /** as dicom-parser writes it, e.g. x00280010 */
  readonly key: string;
  readonly name: string;
}

export const damagedRemedy = 'export or copy the file again from where it came';

const label = ({ key, name }: Tag) => `${name} (${key.slice(1, 5)},${key.slice(5)})`;

/** @throws {FileError} always; `what` says what is wrong with the element. */
export function refuse(tag: Tag, what: string, where: string): never {
  throw new FileError(`the DICOM file's ${label(tag)} ${what}`, where, damagedRemedy);
}

/** A file and the places in it where an element may stand, the most specific last. */
export interface Source {
  readonly where: string;
  readonly sets: readonly DataSet[];
}

/** The place that has the element. */
const holder = ({ sets }: Source, { key }: Tag): DataSet | undefined =>
  sets.findLast((set) => (set.elements[key]?.length ?? 0) > 0);

/** Items of a sequence. */
export const items = (source: Source, tag: Tag): readonly DataSet[] =>
  (source.sets.findLast((set) => set.elements[tag.key]?.items)?.elements[tag.key]?.items ?? []).flatMap(
    ({ dataSet }) => dataSet ?? [],
  );

/** A coded string, upper case and trimmed; undefined when absent. */
export function code(source: Source, tag: Tag): string | undefined {
  const set = holder(source, tag);
  if (!set) return undefined;
  if (set.elements[tag.key]!.length > 256) refuse(tag, 'is too long', source.where);
  return set.string(tag.key, 0)?.trim().toUpperCase() || undefined;
}

/** US, or SS where `signed`. @throws {FileError} when it is shorter than its type. */
export function short(source: Source, tag: Tag, { signed = false, at = 0 } = {}): number | undefined {
  const set = holder(source, tag);
  if (!set) return undefined;
  if (set.elements[tag.key]!.length < 2 * (at + 1)) refuse(tag, 'is cut off', source.where);
  return signed ? set.int16(tag.key, at) : set.uint16(tag.key, at);
}

/** {@link short} of an element that must be there. */
export const requiredShort = (source: Source, tag: Tag): number =>
  short(source, tag) ?? refuse(tag, 'is missing', source.where);

const DECIMAL = /^[+-]?(\d+(\.\d*)?|\.\d+)(E[+-]?\d{1,3})?$/;
/** No window, slope or intercept of an instrument comes near; beyond it float arithmetic loses pixels. */
const LARGEST = 1e9;

/** Numbers of a decimal string (DS), one a value. @throws {FileError} for what is no finite, sensible number. */
export function decimals(source: Source, tag: Tag): readonly number[] | undefined {
  const set = holder(source, tag);
  if (!set) return undefined;
  if (set.elements[tag.key]!.length > 4096) refuse(tag, 'is too long', source.where);
  const text = set.string(tag.key)?.trim().toUpperCase();
  if (!text) return undefined;
  return text.split('\\').map((part) => {
    const number = part.trim();
    if (!DECIMAL.test(number)) refuse(tag, 'is not a number', source.where);
    const value = Number(number);
    if (Math.abs(value) > LARGEST) refuse(tag, 'is out of any range', source.where);
    return value;
  });
}

/** An integer string (IS) between 1 and `most`; undefined when absent. */
export function positiveInteger(source: Source, tag: Tag, most: number): number | undefined {
  const values = decimals(source, tag);
  if (!values) return undefined;
  const [value] = values;
  if (values.length !== 1 || !Number.isInteger(value) || value! < 1 || value! > most)
    refuse(tag, `is not a whole number from 1 to ${most}`, source.where);
  return value;
}
