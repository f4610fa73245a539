/** @file Safetensors files, and what damage does to them. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  float32Tensor,
  type LazyTensor,
  withSafetensors,
  writeSafetensors,
} from '../../../training-artifacts/weights/safetensors-file.js';
import { bytesOf, fileError, folder, path } from './support.js';

/** Opens a file and reads every tensor. */
const readAll = (file: string) =>
  withSafetensors(file, (f) => new Map([...f.header.tensors.keys()].map((name) => [name, f.bytes(name)])));

const tensors = new Map<string, LazyTensor>([
  ['b.weight', float32Tensor([2, 3], Float32Array.of(1, -0, 1e-40, Number.NaN, Infinity, 3.5))],
  ['a', { dtype: 'I64', shape: [2], bytes: bytesOf(BigInt64Array.of(-1n, 2n ** 62n)) }],
  ['scalar', float32Tensor([], Float32Array.of(7))],
  ['empty', float32Tensor([0, 5], new Float32Array(0))],
  ['half ☃ "quoted"', { dtype: 'F16', shape: [3], bytes: bytesOf(Uint16Array.of(1, 2, 3)) }],
  ['odd', { dtype: 'U8', shape: [1, 3], bytes: bytesOf(Uint8Array.of(9, 8, 7)) }],
]);
const file = path('whole.safetensors');
writeSafetensors(file, tensors, { note: 'x"\n☃' });
const whole = readFileSync(file);

test('what was written is read, in the same order, bit by bit', () => {
  withSafetensors(file, (f) => {
    expect([...f.header.tensors.keys()]).toEqual([...tensors.keys()]);
    expect(f.header.metadata).toEqual({ note: 'x"\n☃' });
    for (const [name, { dtype, shape, bytes }] of tensors) {
      expect(f.entry(name)).toMatchObject({ dtype, shape });
      expect(f.bytes(name), name).toEqual(new Uint8Array(bytes()));
    }
    expect(Object.is(f.float32('b.weight')[1], -0)).toBe(true);
    expect(fileError(() => f.float32('a'))!.message).toContain('a is I64, not F32');
    expect(fileError(() => f.entry('c'))!.message).toContain('no tensor c');
  });
  expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
});

test('any tensors survive the round trip', () => {
  const shapes = fc.array(fc.nat(4), { maxLength: 4 });
  const lists = fc.dictionary(
    fc.string().filter((n) => n !== '__metadata__' && !/^\d+$/.test(n)),
    shapes,
    { maxKeys: 6 },
  );
  fc.assert(
    fc.property(lists, (list) => {
      const made = Object.entries(list).map(([name, shape], i): [string, LazyTensor] => {
        const data = new Float32Array(shape.reduce((p, n) => p * n, 1)).map((_, at) => at + 1000 * i);
        return [name, float32Tensor(shape, data)];
      });
      writeSafetensors(path('any.safetensors'), new Map(made));
      const read = readAll(path('any.safetensors'));
      expect([...read.keys()]).toEqual(made.map(([name]) => name));
      for (const [name, tensor] of made) expect(read.get(name)).toEqual(new Uint8Array(tensor.bytes()));
    }),
    { numRuns: 40 },
  );
});

test('the data begins at a multiple of 64, so that it can be mapped', () => {
  for (const name of ['n', 'nn'.repeat(15), 'n'.repeat(63)]) {
    writeSafetensors(path('aligned.safetensors'), new Map([[name, float32Tensor([1], Float32Array.of(5))]]));
    const bytes = readFileSync(path('aligned.safetensors'));
    const length = Number(bytes.readBigUInt64LE());
    expect((8 + length) % 64).toBe(0);
    expect(bytes.length).toBe(8 + length + 4);
    expect(bytes.subarray(8, 9).toString()).toBe('{'); // the format asks for it
    expect(bytes.readFloatLE(8 + length)).toBe(5);
  }
});

test('every truncation is a FileError', () => {
  for (let length = 0; length < whole.length; length++) {
    writeFileSync(path('cut.safetensors'), whole.subarray(0, length));
    expect(
      fileError(() => readAll(path('cut.safetensors'))),
      `${length} bytes`,
    ).toBeDefined();
  }
});

test('flipped bits give a FileError or another file, never another error', () => {
  const headerBits = 8 * (8 + Number(whole.readBigUInt64LE()));
  let refused = 0;
  fc.assert(
    fc.property(fc.array(fc.nat(headerBits - 1), { minLength: 1, maxLength: 4 }), (flips) => {
      const bytes = Buffer.from(whole);
      for (const bit of flips) bytes[bit >> 3]! ^= 1 << (bit & 7);
      writeFileSync(path('flipped.safetensors'), bytes);
      const error = fileError(() => readAll(path('flipped.safetensors')));
      if (!error) return;
      refused += 1;
      expect(error.message).toContain(path('flipped.safetensors'));
      expect(error.remedy).not.toBe('');
    }),
    { numRuns: 400 },
  );
  expect(refused).toBeGreaterThan(100);
});

const header = (value: unknown, data = 16): Buffer => {
  const json = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(data)]);
};
const entry = (changed: object) => ({
  t: { dtype: 'F32', shape: [2, 2], data_offsets: [0, 16], ...changed },
});
const lies: [string, unknown, RegExp][] = [
  ['a shape larger than its bytes', entry({ shape: [2, 3] }), /tensor t\b/],
  ['a shape smaller than its bytes', entry({ shape: [3] }), /\[3\] F32 needs 12 bytes, has 16/],
  ['a negative axis', entry({ shape: [-2, -2] }), /shape is not a list of whole numbers/],
  ['a fractional axis', entry({ shape: [0.5, 8] }), /shape is not a list of whole numbers/],
  ['an enormous shape', entry({ shape: [2 ** 52, 2 ** 52] }), /has 16/],
  ['a shape that is no list', entry({ shape: 4 }), /shape is not a list/],
  ['a range beyond the file', entry({ shape: [8], data_offsets: [0, 32] }), /cut short/],
  ['a range before the data', entry({ data_offsets: [-16, 0] }), /no byte range/],
  ['a reversed range', entry({ data_offsets: [16, 0] }), /needs 16 bytes, has -16/],
  ['no range', entry({ data_offsets: undefined }), /no byte range/],
  ['an unknown dtype', entry({ dtype: 'F8_E4M3' }), /dtype F8_E4M3 is not supported/],
  ["a dtype of Object's", entry({ dtype: 'constructor' }), /dtype constructor is not supported/],
  ['an entry that is null', { t: null }, /tensor t\b/],
  [
    'overlapping tensors',
    { ...entry({}), u: { dtype: 'F32', shape: [1], data_offsets: [12, 16] } },
    /overlaps/,
  ],
  ['the same bytes twice', { ...entry({}), ...{ u: entry({}).t } }, /overlaps/],
  ['metadata that are no texts', { __metadata__: { state: { step: 1 } }, ...entry({}) }, /metadata/],
  ['metadata that are null', { __metadata__: null, ...entry({}) }, /metadata/],
  ['a list as header', '7', /not an object/],
  ['text as header', 'hello', /not JSON/],
  ['nesting as deep as the stack', '['.repeat(200_000), /not JSON/],
];
test.each(lies)('%s is refused', (_, value, message) => {
  writeFileSync(path('lie.safetensors'), header(value));
  expect(fileError(() => readAll(path('lie.safetensors')))?.message).toMatch(message);
});

test('a header that claims to be enormous is refused before any memory is taken', () => {
  for (const length of [2n ** 63n, 2n ** 64n - 1n, 200n * 2n ** 20n]) {
    const bytes = Buffer.alloc(64);
    bytes.writeBigUInt64LE(length);
    writeFileSync(path('enormous.safetensors'), bytes);
    expect(fileError(() => readAll(path('enormous.safetensors')))?.message).toContain(
      'not a safetensors file',
    );
  }
});

test('a missing file and a folder are FileErrors that name them', () => {
  expect(fileError(() => readAll(path('none')))?.message).toContain('ENOENT');
  expect(fileError(() => readAll(folder))?.message).toContain('give a file, not a folder');
});

test('a write that fails leaves the file before and nothing else', () => {
  const before = readdirSync(folder);
  const broken = new Map<string, LazyTensor>([
    ['first', float32Tensor([1], Float32Array.of(1))],
    [
      'second',
      {
        dtype: 'F32',
        shape: [1],
        bytes: () => {
          throw new Error('no more');
        },
      },
    ],
  ]);
  expect(() => writeSafetensors(file, broken)).toThrow('no more');
  expect(readdirSync(folder)).toEqual(before);
  expect(readFileSync(file)).toEqual(whole);
});
