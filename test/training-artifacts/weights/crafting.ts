/** @file Weight files made by hand, honest and hostile. */
import { writeFileSync } from 'node:fs';
import { type Zippable, zipSync } from 'fflate';
import { path } from './support.js';

export const latin1 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));

const u32 = (n: number): string => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(n);
  return bytes.toString('latin1');
};

/** Pickle operations, by what they push. */
export const op = {
  text: (text: string): string => `X${u32(Buffer.byteLength(text))}${Buffer.from(text).toString('latin1')}`,
  int: (n: number): string => `J${u32(n >>> 0)}`,
  long: (n: bigint): string => {
    const bytes: number[] = [];
    for (let rest = n; bytes.length < 9; rest >>= 8n) bytes.push(Number(rest & 255n));
    return `\x8a\x09${String.fromCharCode(...bytes)}`;
  },
  global: (module: string, name: string): string => `c${module}\n${name}\n`,
  tuple: (...items: string[]): string => `(${items.join('')}t`,
  reduce: (callee: string, ...args: string[]): string => `${callee}${op.tuple(...args)}R`,
  dict: (entries: Record<string, string>): string =>
    `}(${Object.entries(entries)
      .map(([key, value]) => op.text(key) + value)
      .join('')}u`,
  storage: (key: string, size: string, type = 'FloatStorage'): string =>
    `${op.tuple(op.text('storage'), op.global('torch', type), op.text(key), op.text('cpu'), size)}Q`,
  tensor: (storage: string, offset: string, shape: string[], strides: string[]): string =>
    op.reduce(
      op.global('torch._utils', '_rebuild_tensor_v2'),
      storage,
      offset,
      op.tuple(...shape),
      op.tuple(...strides),
      '\x89',
      op.reduce(op.global('collections', 'OrderedDict')),
    ),
  whole: (body: string): string => `\x80\x02${body}.`,
};

let made = 0;

/** A file of the test's folder. */
export function file(name: string, bytes: Uint8Array | string): string {
  const target = path(`${made++}-${name}`);
  writeFileSync(target, bytes);
  return target;
}

/** What torch.save writes: everything stored. */
export function torchZip(
  pickle: string,
  storages: Readonly<Record<string, Uint8Array>> = {},
  more: Zippable = {},
): Uint8Array {
  const entries: Zippable = { 'm/data.pkl': latin1(pickle) };
  for (const [key, bytes] of Object.entries(storages)) entries[`m/data/${key}`] = bytes;
  return zipSync({ ...entries, ...more }, { level: 0 });
}

/** The legacy format around a pickle, without storages. */
export const torchLegacy = (pickle: string): Uint8Array =>
  latin1(`\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.${pickle}\x80\x02].`);

/** A safetensors file around a header. */
export function safetensors(header: unknown, bytes = 0): Uint8Array {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, Buffer.alloc(bytes)]);
}

/** An .npy array. */
export function npy(header: string, bytes: Uint8Array = new Uint8Array(0)): Uint8Array {
  const length = Buffer.alloc(2);
  length.writeUInt16LE(header.length);
  return Buffer.concat([latin1('\x93NUMPY\x01\x00'), length, latin1(header), bytes]);
}
