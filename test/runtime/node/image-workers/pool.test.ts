/** @file Threads that prepare images: a process that closes them goes on. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { packageRoot } from '../../../../datasets/package-root.js';

const pool = join(packageRoot(), '.build', 'runtime', 'node', 'image-workers', 'pool.js');
const images = join(packageRoot(), 'datasets', 'vqa-rad', 'images');

/** Closes a thread whose last reply lies unread, in a process that has nothing else to wait for. */
const program = `
import { readdirSync } from 'node:fs';
import { preparerOnThreads } from ${JSON.stringify(pool)};
const [first, second] = readdirSync(${JSON.stringify(images)}).map((name) => ${JSON.stringify(`${images}/`)} + name);
for (let round = 0; round < 4; round++) {
  const preparer = preparerOnThreads({ side: 96, normalisation: 'half' }, 1);
  await preparer.prepare({ path: first, values: true });
  preparer.prepare({ path: second, values: true }).catch(() => {});
  const start = performance.now();
  while (performance.now() - start < 300); // this thread is busy, as in a training step, while the other replies
  await preparer.close();
}
console.log('closed');
`;

test('a thread is closed whose reply nobody read, and the process goes on', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-test-'));
  const file = join(folder, 'program.mjs');
  writeFileSync(file, program);
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (text) => {
    said += text;
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  rmSync(folder, { recursive: true });
  expect([code, said]).toEqual([0, 'closed\n']); // 13: it ended while something was awaited
});
