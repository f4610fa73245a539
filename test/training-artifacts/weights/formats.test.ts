/** @file The readers of weight files against what PyTorch, NumPy and transformers wrote and say is in it. */
import { copyFileSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { writeAtomic, writeJson } from '../../../training-artifacts/files.js';
import { floatPieces } from '../../../training-artifacts/weights/convert.js';
import { ByteFile } from '../../../training-artifacts/weights/formats/byte-file.js';
import { withWeights } from '../../../training-artifacts/weights/formats/open-source.js';
import type { SourceTensor } from '../../../training-artifacts/weights/formats/source.js';
import { gather } from '../../../training-artifacts/weights/formats/strided.js';
import { oracle } from '../../support/golden.js';
import { path } from './support.js';

const golden = (name: string): string => oracle(`weights/${name}`);

const integers: Record<string, (bytes: ArrayBuffer) => ArrayLike<number | bigint>> = {
  I64: (b) => new BigInt64Array(b),
  I32: (b) => new Int32Array(b),
  I16: (b) => new Int16Array(b),
  U8: (b) => new Uint8Array(b),
  BOOL: (b) => new Uint8Array(b),
};

function numbersOf(tensor: SourceTensor): number[] {
  const read = integers[tensor.dtype];
  // float64 numbers come as float32
  if (!read) return [...floatPieces(tensor, 'test')].flatMap((piece) => [...piece]);
  const bytes = new Uint8Array(Buffer.concat([...tensor.pieces()].map((piece) => Buffer.from(piece))));
  return Array.from(read(bytes.buffer), Number);
}

interface Expected {
  readonly shape: number[];
  readonly numbers: number[];
}

test.each(['tensors.pth', 'tensors-legacy.pth'])('%s: every type, stride and sharing', async (name) => {
  const expected: Record<string, Expected> = JSON.parse(readFileSync(golden('tensors.json'), 'utf8'));
  await withWeights(golden(name), ({ tensors }) => {
    expect([...tensors.keys()]).toEqual(Object.keys(expected));
    for (const [key, { shape, numbers }] of Object.entries(expected)) {
      expect(tensors.get(key)!.shape, key).toEqual(shape);
      expect(numbersOf(tensors.get(key)!), key).toEqual(numbers.map(Math.fround));
    }
  });
});

test.each(['arrays.npz', 'arrays-compressed.npz'])(
  '%s: stored, deflated and Fortran arrays',
  async (name) => {
    await withWeights(golden(name), ({ tensors }) => {
      expect(numbersOf(tensors.get('plain')!)).toEqual([0, 1, 2, 3, 4, 5]);
      expect(tensors.get('half')).toMatchObject({ dtype: 'F16', shape: [2] });
      expect(numbersOf(tensors.get('half')!)).toEqual([0.5, -2]);
      expect(tensors.get('scalar')!.shape).toEqual([]);
      expect(numbersOf(tensors.get('whole')!)).toEqual([1, -2]);
      const fortran = tensors.get('fortran');
      if (fortran) expect(numbersOf(fortran)).toEqual([0, 1, 2, 3, 4, 5]);
      const long = tensors.get('long');
      if (long) expect(numbersOf(long)).toEqual(Array.from({ length: 20_000 }, (_, i) => i % 50));
    });
  },
);

test('a model in shards is one model', async () => {
  await withWeights(golden('vit'), ({ format, files, tensors }) => {
    expect(format).toBe('safetensors, 2 shards');
    expect(files.length).toBe(3);
    expect(tensors.get('classifier.weight')!.shape).toEqual([2, 16]);
  });
});

test('PyTorch files in shards, too', async () => {
  copyFileSync(golden('tensors.pth'), path('a.bin'));
  copyFileSync(golden('tensors-legacy.pth'), path('b.bin'));
  const weight_map = { 'state_dict.base': 'a.bin', 'state_dict.half': 'b.bin' };
  writeJson(path('pytorch_model.bin.index.json'), { metadata: {}, weight_map });
  await withWeights(path('pytorch_model.bin.index.json'), ({ tensors }) => {
    expect([...tensors].map(([name, { dtype }]) => [name, dtype])).toEqual([
      ['state_dict.base', 'F32'],
      ['state_dict.half', 'F16'],
    ]);
  });
});

test('any view is gathered like plain indexing, also over several pieces', () => {
  const storage = Float32Array.from({ length: 1_300_000 }, (_, i) => i); // 5.2 MB: two pieces
  writeAtomic(path('storage.bin'), new Uint8Array(storage.buffer));
  const file = ByteFile.open(path('storage.bin'));
  const axes = fc.array(fc.tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 0, max: 70_000 })), {
    minLength: 1,
    maxLength: 3,
  });
  fc.assert(
    fc.property(axes, fc.nat(200_000), (list, offset) => {
      const [shape, strides] = [list.map(([n]) => n), list.map(([, s]) => s)];
      let places = [offset];
      for (const [n, stride] of list)
        places = places.flatMap((at) => Array.from({ length: n }, (_, i) => at + i * stride));
      const bytes = gather({ file, start: 0, width: 4, offset, shape, strides });
      expect([...new Float32Array(bytes.buffer)]).toEqual(places);
    }),
    { numRuns: 60 },
  );
  file.close();
});
