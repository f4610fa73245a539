/** @file Frozen features on disk: what is read is what was written, or nothing. */
import { existsSync, readdirSync, readFileSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FileFeatureStore } from '../../../../runtime/node/features/file-store.js';
import { temporaryFolder } from '../runs.js';

const GB = 1e9;
const numbers = Float32Array.from({ length: 1000 }, (_, i) => Math.sin(i));
let before: string | undefined;
beforeEach(() => {
  before = process.env.MILE_ORT_CACHE;
  process.env.MILE_ORT_CACHE = temporaryFolder();
});
afterEach(() => {
  if (before === undefined) delete process.env.MILE_ORT_CACHE;
  else process.env.MILE_ORT_CACHE = before;
});

const store = (group = 'a', limit = GB) => new FileFeatureStore([group], limit);

/** The entry in two parts, the first 300 numbers and the rest. */
function recall(from: FileFeatureStore, key: string, length = 1000): Float32Array | undefined {
  const whole = new Float32Array(1000);
  const parts = [
    { from: 300, target: whole.subarray(300) },
    { from: 0, target: whole.subarray(0, 300) },
  ];
  return from.read(key, length, parts) ? whole : undefined;
}

test('another store of the same group reads what one wrote; other groups and keys have nothing', () => {
  store().write('k', numbers);
  expect(recall(store(), 'k')).toEqual(numbers);
  expect(recall(store('b'), 'k')).toBeUndefined();
  expect(recall(store(), 'other')).toBeUndefined();
  expect(recall(store(), 'k', 999)).toBeUndefined();
});

test.each([
  [
    'a flipped bit',
    (file: string) => {
      const bytes = readFileSync(file);
      bytes[2000]! ^= 1;
      writeFileSync(file, bytes);
    },
  ],
  ['a cut', (file: string) => truncateSync(file, 100)],
  ['nothing', (file: string) => writeFileSync(file, '')],
])('an entry damaged by %s counts as absent and is written again', (_what, damage) => {
  const first = store();
  first.write('k', numbers);
  damage(join(first.folder, 'k'));
  const again = store();
  expect(recall(again, 'k')).toBeUndefined();
  again.write('k', numbers);
  expect(recall(store(), 'k')).toEqual(numbers);
});

test('the limit holds over all groups: the longest unused goes first, then nothing more is kept', () => {
  const limit = 3 * 4100;
  const [old, older] = [store('old', limit), store('older', limit)];
  old.write('k', numbers);
  older.write('k', numbers);
  utimesSync(older.folder, new Date(1e12), new Date(1e12));
  utimesSync(old.folder, new Date(1.1e12), new Date(1.1e12));
  const own = store('own', limit);
  for (const key of ['1', '2', '3', '4']) own.write(key, numbers);
  expect(existsSync(older.folder)).toBe(false);
  expect(existsSync(old.folder)).toBe(false);
  expect(own.sizeBytes).toBeLessThanOrEqual(limit);
  expect(readdirSync(own.folder)).toEqual(['1', '2', '3']);
  expect(readdirSync(dirname(own.folder))).toHaveLength(1);
});
