/** @file Huge pages: what glibc is told, and what the kernel does. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { withHugePages } from '../../../runtime/node/huge-pages.js';

const MODE = '/sys/kernel/mm/transparent_hugepage/enabled';

test('is added to what the user tunes, and never chosen against the user', () => {
  expect(withHugePages({ A: '1' })).toEqual({ A: '1', GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1' });
  const other = { GLIBC_TUNABLES: 'glibc.malloc.tcache_count=1' };
  expect(withHugePages(other).GLIBC_TUNABLES).toBe('glibc.malloc.tcache_count=1:glibc.malloc.hugetlb=1');
  const off = { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=0' };
  expect(withHugePages(off)).toEqual(off);
});

const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
const glibc = header.glibcVersionRuntime;
const isReady =
  glibc !== undefined &&
  Number(glibc.split('.')[1]) >= 35 &&
  existsSync(MODE) &&
  readFileSync(MODE, 'utf8').includes('[madvise]');

test.runIf(isReady)('a child keeps a large array in huge pages', () => {
  const program = `const a = Buffer.alloc(2 ** 28, 1); const text = require('fs').readFileSync('/proc/self/smaps_rollup', 'utf8');
    console.log(/AnonHugePages: *([0-9]+)/.exec(text)[1])`;
  const huge = (env: NodeJS.ProcessEnv) =>
    Number(execFileSync(process.execPath, ['-e', program], { env, encoding: 'utf8' }));
  expect(huge(withHugePages())).toBeGreaterThan(2 ** 17); // kB: half of the array
  expect(huge(withHugePages({ ...process.env, GLIBC_TUNABLES: 'glibc.malloc.hugetlb=0' }))).toBeLessThan(
    2 ** 16,
  );
});
