/** @file The safetensors format: 8-byte header length, JSON header, raw little-endian tensors. */
import { FileError } from '../../graph-builder/errors.js';

/** Dtypes of the format that this project reads. */
export const safetensorsBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;
export type SafetensorsDType = keyof typeof safetensorsBytes;

export interface TensorEntry {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  /** byte range in the file */
  readonly offset: number;
  readonly length: number;
}

export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Headers above this are refused: a real one has about 100 bytes a tensor. */
const MAX_HEADER = 32 * 2 ** 20;
const ALIGNMENT = 64;

const isString = (value: unknown): value is string => typeof value === 'string';

const damaged = (what: string, file: string, cause?: unknown) =>
  new FileError(what, file, 'copy or download the file again', { cause });

/** Length of the JSON header, from the first 8 bytes. */
export function headerLength(first8: Uint8Array, fileBytes: number, file: string): number {
  if (first8.length < 8) throw damaged('not a safetensors file: shorter than its header', file);
  const length = Number(new DataView(first8.buffer, first8.byteOffset).getBigUint64(0, true));
  if (length > MAX_HEADER || length + 8 > fileBytes) {
    throw damaged(
      `not a safetensors file, or cut short: header of ${length} bytes, file of ${fileBytes}`,
      file,
    );
  }
  return length;
}

function readEntry(
  name: string,
  value: unknown,
  dataStart: number,
  fileBytes: number,
  file: string,
): TensorEntry {
  const entry = value as { dtype?: unknown; shape?: unknown; data_offsets?: unknown };
  const where = `${file}, tensor ${name}`;
  if (typeof entry?.dtype !== 'string' || !Object.hasOwn(safetensorsBytes, entry.dtype)) {
    throw damaged(`dtype ${String(entry?.dtype)} is not supported`, where);
  }
  const dtype = entry.dtype as SafetensorsDType;
  const whole = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) >= 0;
  const { shape, data_offsets: offsets } = entry;
  if (!Array.isArray(shape) || !shape.every(whole))
    throw damaged('the shape is not a list of whole numbers', where);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(whole))
    throw damaged('no byte range', where);
  const [begin, end] = offsets as [number, number];
  const expected = shape.reduce((p, n) => p * n, safetensorsBytes[dtype]);
  if (end - begin !== expected)
    throw damaged(`[${shape}] ${dtype} needs ${expected} bytes, has ${end - begin}`, where);
  if (dataStart + end > fileBytes) throw damaged(`the file is cut short: ${fileBytes} bytes`, where);
  return { dtype, shape, offset: dataStart + begin, length: end - begin };
}

/** JSON.parse keeps the last of two equal keys in silence. @returns how many keys the outermost object of valid JSON has */
function countKeys(json: string): number {
  let [depth, keys] = [0, 0];
  for (let at = 0; at < json.length; at++) {
    const c = json[at]!;
    if (c === '{' || c === '[') depth += 1;
    else if (c === '}' || c === ']') depth -= 1;
    else if (c === ':' && depth === 1) keys += 1;
    else if (c === '"') for (at++; json[at] !== '"'; at++) if (json[at] === '\\') at++;
  }
  return keys;
}

/**
 * Parses the JSON header. Names are unique. Ranges must lie inside the file and must not overlap.
 *
 * @throws {FileError} naming the tensor that is wrong.
 */
export function parseHeader(json: Uint8Array, fileBytes: number, file: string): SafetensorsHeader {
  let text: string;
  let header: Record<string, unknown>;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(json);
    header = JSON.parse(text);
  } catch (cause) {
    throw damaged('the safetensors header is not JSON', file, cause);
  }
  if (typeof header !== 'object' || header === null)
    throw damaged('the safetensors header is not an object', file);
  if (countKeys(text) !== Object.keys(header).length) throw damaged('two tensors have the same name', file);
  const { __metadata__: metadata = {}, ...rest } = header;
  if (typeof metadata !== 'object' || metadata === null || !Object.values(metadata).every(isString))
    throw damaged('the metadata of the safetensors header are not texts', file);
  const tensors = new Map(
    Object.entries(rest).map(([name, value]) => [
      name,
      readEntry(name, value, 8 + json.length, fileBytes, file),
    ]),
  );
  const ranges = [...tensors].sort(([, a], [, b]) => a.offset - b.offset);
  ranges.forEach(([name, { offset }], i) => {
    const previous = ranges[i - 1]?.[1];
    if (previous && previous.offset + previous.length > offset)
      throw damaged('overlaps another tensor', `${file}, tensor ${name}`);
  });
  return { tensors, metadata: metadata as Record<string, string> };
}

export interface TensorType {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
}

/** Header bytes (length prefix included) and the byte range of each tensor, in the given order. */
export function layOut(
  tensors: Iterable<readonly [string, TensorType]>,
  metadata: Readonly<Record<string, string>> = {},
): { header: Uint8Array; entries: Map<string, TensorEntry> } {
  const header: Record<string, unknown> = Object.keys(metadata).length > 0 ? { __metadata__: metadata } : {};
  const relative = new Map<string, TensorEntry>();
  let at = 0;
  for (const [name, { dtype, shape }] of tensors) {
    const length = shape.reduce((p, n) => p * n, safetensorsBytes[dtype]);
    header[name] = { dtype, shape, data_offsets: [at, at + length] };
    relative.set(name, { dtype, shape, offset: at, length });
    at += length;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil((json.length + 8) / ALIGNMENT) * ALIGNMENT - 8;
  const bytes = new Uint8Array(8 + padded).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(json, 8);
  const entries = new Map(
    [...relative].map(([name, e]) => [name, { ...e, offset: e.offset + bytes.length }]),
  );
  return { header: bytes, entries };
}
