/** @file One study a folder; locks of processes that are gone do not count. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { lockStudy } from '../../../../runtime/node/study/lock.js';
import { temporaryFolder } from '../runs.js';

const lockOf = (out: string) => join(out, 'study.lock');

test('taken once, and again when it is given back', () => {
  const out = join(temporaryFolder(), 'new');
  const unlock = lockStudy(out);
  expect(() => lockStudy(out)).toThrow(
    new RegExp(
      `^another study works in this folder: process ${process.pid}\n {2}where: .*study\\.lock\n {2}to do: wait`,
    ),
  );
  unlock();
  expect(existsSync(lockOf(out))).toBe(false);
  lockStudy(out)();
});

test.each<[string, (own: Record<string, unknown>) => string]>([
  ['a process that is gone', (own) => JSON.stringify({ ...own, pid: 2 ** 22 + 1, born: null })],
  ['an earlier process of the same number', (own) => JSON.stringify({ ...own, born: '1' })],
  ['a writer that was killed', () => '{"pid": 1'],
])('a lock of %s is taken over', (_what, text) => {
  const out = temporaryFolder();
  const unlock = lockStudy(out);
  const own = JSON.parse(readFileSync(lockOf(out), 'utf8')) as Record<string, unknown>;
  writeFileSync(lockOf(out), text(own));
  lockStudy(out);
  expect(JSON.parse(readFileSync(lockOf(out), 'utf8'))).toEqual(own);
  unlock();
});

test('a lock of another machine stays, whoever it was', () => {
  const out = temporaryFolder();
  writeFileSync(lockOf(out), JSON.stringify({ pid: 1, host: 'elsewhere', born: null }));
  expect(() => lockStudy(out)).toThrow(/process 1 on elsewhere\n.*\n.*delete the file/);
});
