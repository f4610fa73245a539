import { spawnSync } from 'node:child_process';
import { closeSync, openSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../../runtime/node/runs.js';

const full = process.env.MILE_ORT_TEST === 'full';
/** heap: what the questions take, and a third more; less than the file */
const { rows, caption, heapMb } = full
  ? { rows: 1_000_000, caption: 640, heapMb: 560 }
  : { rows: 50_000, caption: 1200, heapMb: 48 };

function writeTable(file: string): void {
  const fd = openSync(file, 'w');
  writeSync(fd, 'image,question,answer,split,caption\n');
  const long = 'caption '.repeat(caption / 8);
  for (let start = 0; start < rows; start += 1000) {
    const lines = Array.from({ length: 1000 }, (_, i) => {
      const n = start + i;
      return `scans/of-image-${n}.png,"Is there finding number ${n}, or not?",answer ${n % 997} of many,${n % 10 ? 'train' : 'test'},${long}\n`;
    });
    writeSync(fd, lines.join(''));
  }
  closeSync(fd);
}

test(`a CSV of ${rows} rows that is larger than the memory that may be used`, { timeout: 300_000 }, () => {
  const file = join(temporaryFolder(), 'large.csv');
  writeTable(file);
  expect(statSync(file).size).toBeGreaterThan(1.2 * heapMb * 1e6);
  const module = new URL('../../../.build/datasets/open-dataset.js', import.meta.url);
  const script = `
    const { openDataset } = await import(${JSON.stringify(module.href)});
    const { questions } = await openDataset(${JSON.stringify(file)}, { textOnly: true });
    const { maxRSS } = process.resourceUsage();
    console.log(JSON.stringify({ n: questions.length, last: questions.at(-1), maxRSS }));`;
  const child = spawnSync(
    process.execPath,
    [`--max-old-space-size=${heapMb}`, '--input-type=module', '-e', script],
    { encoding: 'utf8' },
  );
  expect(child.stderr).toBe('');
  const { n, last, maxRSS } = JSON.parse(child.stdout) as { n: number; last: object; maxRSS: number };
  expect(n).toBe(rows);
  expect(last).toMatchObject({
    qid: `large:${rows}`,
    question: `Is there finding number ${rows - 1}, or not?`,
    set: 'train',
  });
  // beside the heap: code, new space, buffers of the file
  expect(maxRSS / 1e3).toBeLessThan(heapMb + 200);
});
