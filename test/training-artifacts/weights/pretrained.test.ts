/** @file The shipped base weights: expanded once into the cache, never damaged. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test, vi } from 'vitest';
import { writeJson } from '../../../training-artifacts/files.js';
import { fromHalf } from '../../../training-artifacts/weights/half.js';
import {
  expandHalf,
  expandPretrained,
  hasPretrained,
  pretrainedRecord,
  sha256,
} from '../../../training-artifacts/weights/pretrained.js';
import {
  type LazyTensor,
  withSafetensors,
  writeSafetensors,
} from '../../../training-artifacts/weights/safetensors-file.js';
import { bytesOf, fileError, path } from './support.js';

const fake = vi.hoisted(() => ({ root: '' }));
vi.mock('../../../datasets/package-root.js', () => ({ packageRoot: () => fake.root }));

const half = Uint16Array.from({ length: 1000 }, (_, i) => 0x2c00 + 7 * i);
const tensors = new Map<string, LazyTensor>([
  ['b', { dtype: 'F16', shape: [10, 100], bytes: bytesOf(half) }],
  ['a', { dtype: 'F16', shape: [3], bytes: bytesOf(half.slice(0, 3)) }],
]);
let count = 0;
let shipped = '';
let cache = '';

/** A package with the base weights 'toy', and an empty cache. */
beforeEach(() => {
  fake.root = path(`package${++count}`);
  shipped = join(fake.root, 'training-artifacts', 'pretrained', 'toy.safetensors');
  cache = path(`cache${count}`);
  vi.stubEnv('MILE_ORT_CACHE', cache);
  writeSafetensors(shipped, tensors);
  expandHalf(shipped, path('expanded'));
  writeJson(shipped.replace('.safetensors', '.json'), {
    preset: 'toy',
    normalisation: 'imagenet',
    sha256: sha256(shipped),
    expandedSha256: sha256(path('expanded')),
    validation: 0.5,
  });
});

test('expands to float32, exactly, in the same order', () => {
  withSafetensors(expandPretrained('toy'), (file) => {
    expect([...file.header.tensors].map(([n, t]) => [n, t.dtype, t.shape])).toEqual([
      ['b', 'F32', [10, 100]],
      ['a', 'F32', [3]],
    ]);
    expect(file.float32('b')).toEqual(fromHalf(half));
  });
});

test('expands once, and again when the cached file is damaged', () => {
  const target = expandPretrained('toy');
  expect(readdirSync(cache)).toHaveLength(1);
  rmSync(shipped); // a file that is there and whole is not made again
  writeFileSync(shipped, 'not read');
  expect(expandPretrained('toy')).toBe(target);
  writeSafetensors(shipped, tensors);
  writeFileSync(target, 'damaged');
  expect(sha256(expandPretrained('toy'))).toBe(pretrainedRecord('toy').expandedSha256);
  expect(readdirSync(cache)).toHaveLength(1);
});

test('damaged weights are refused and never left in the cache', () => {
  const bytes = readFileSync(shipped);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(shipped, bytes);
  expect(fileError(() => expandPretrained('toy'))?.message).toContain('the shipped base weights are damaged');
  writeFileSync(shipped, bytes.subarray(0, 200));
  expect(fileError(() => expandPretrained('toy'))?.where).toContain(shipped);
  expect(existsSync(cache) ? readdirSync(cache) : []).toEqual([]);
});

test('a preset without base weights says what to give', () => {
  expect(hasPretrained('toy')).toBe(true);
  expect(hasPretrained('other')).toBe(false);
  const { what, where, remedy } = fileError(() => pretrainedRecord('other'))!;
  expect([what, where]).toEqual(['no trained base weights ship for other', '--weights']);
  expect(remedy).toContain('--weights random');
});

test('a damaged record is a FileError', () => {
  writeFileSync(shipped.replace('.safetensors', '.json'), '{"preset": "toy"}');
  expect(fileError(() => pretrainedRecord('toy'))?.message).toContain('toy.json');
});

test('a cache that cannot be written is a FileError', () => {
  mkdirSync(cache);
  writeFileSync(join(cache, 'file'), '');
  vi.stubEnv('MILE_ORT_CACHE', join(cache, 'file', 'below'));
  expect(fileError(() => expandPretrained('toy'))?.message).toContain('check the path');
});
