/** @file A weights file that changed after a run was built on it is found out. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sha256 } from '../../../training-artifacts/weights/pretrained.js';
import { checkUnchanged } from '../../../training-artifacts/weights/unchanged.js';

let folder: string;
let before: string | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'unchanged-'));
  before = process.env.MILE_ORT_CACHE;
  process.env.MILE_ORT_CACHE = join(folder, 'cache');
});
afterEach(() => {
  if (before === undefined) delete process.env.MILE_ORT_CACHE;
  else process.env.MILE_ORT_CACHE = before;
  rmSync(folder, { recursive: true });
});

const weights = () => {
  const path = join(folder, 'base.safetensors');
  writeFileSync(path, Buffer.alloc(1000, 7));
  return { path, hash: sha256(path) };
};

test('an unchanged file passes, again and again', () => {
  const { path, hash } = weights();
  checkUnchanged(path, hash);
  checkUnchanged(path, hash);
});

test.each(['before the first look', 'after it'])('one flipped bit, %s', (when) => {
  const { path, hash } = weights();
  if (when === 'after it') checkUnchanged(path, hash);
  const bytes = readFileSync(path);
  bytes[500]! ^= 1;
  writeFileSync(path, bytes);
  utimesSync(path, 1, 1);
  expect(() => checkUnchanged(path, hash)).toThrow(
    /not those that the run was built on[\s\S]*base\.safetensors/,
  );
});

test('another length', () => {
  const { path, hash } = weights();
  checkUnchanged(path, hash);
  appendFileSync(path, 'x');
  expect(() => checkUnchanged(path, hash)).toThrow(/hash differs/);
});

test('a hash that another run expects is not taken for known', () => {
  const { path, hash } = weights();
  checkUnchanged(path, hash);
  expect(() =>
    checkUnchanged(
      path,
      hash.replace(/^./, (c) => (c === '0' ? '1' : '0')),
    ),
  ).toThrow(/hash differs/);
});
