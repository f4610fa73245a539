/** @file An import needs the memory of one tensor, whatever the size of the file. */
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { packageRoot } from '../../../datasets/package-root.js';
import { type MissConfig, presetConfig } from '../../../graph-builder/models/config.js';
import { lossGraph } from '../../../graph-builder/models/miss.js';
import { latin1, op } from './crafting.js';
import { path } from './support.js';

const MB = 2 ** 20;

/** Strides of an array that lies in memory as its transpose. */
const transposed = (shape: readonly number[]): number[] =>
  shape.map((_, axis) => shape.slice(0, axis).reduce((p, n) => p * n, 1));

/**
 * A legacy PyTorch file of a whole model in float64, all numbers 0, which takes no room on the disk. Matrices lie
 * transposed: those are read whole.
 */
function sparseCheckpoint(name: string, config: MissConfig): string {
  const ints = (list: readonly number[]) => list.map((n) => op.int(n));
  const tensors = lossGraph(config).parameters.map(({ name: key, shape }, i) => {
    const sizes = shape as readonly number[];
    const count = sizes.reduce((p, n) => p * n, 1);
    const storage = op.storage(String(i), op.int(count), 'DoubleStorage');
    return { key, count, tensor: op.tensor(storage, op.int(0), ints(sizes), ints(transposed(sizes))) };
  });
  const state = op.dict(Object.fromEntries(tensors.map(({ key, tensor }) => [key, tensor])));
  const keys = `](${tensors.map((_, i) => op.text(String(i))).join('')}e`;
  const head = latin1(
    `\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.${op.whole(op.dict({ model: state }))}${op.whole(keys)}`,
  );
  const target = path(name);
  const fd = openSync(target, 'w');
  let at = writeSync(fd, head, 0, head.length, 0);
  for (const { count } of tensors) {
    const size = Buffer.alloc(8);
    size.writeBigInt64LE(BigInt(count));
    at += writeSync(fd, size, 0, 8, at) + 8 * count;
  }
  ftruncateSync(fd, at);
  closeSync(fd);
  return target;
}

/** Peak resident memory of a process that imports a file, bytes. */
function peakOf(source: string, config: MissConfig): number {
  const module = (name: string) => JSON.stringify(join(packageRoot(), '.build', name));
  const script = `
    import { importWeights } from ${module('training-artifacts/weights/import-weights.js')};
    import { lossGraph } from ${module('graph-builder/models/miss.js')};
    const config = ${JSON.stringify(config)};
    const options = { preset: 'test', dtype: 'float32', seed: 0, strict: true, normalisation: 'clip' };
    const { parameters } = lossGraph(config);
    await importWeights([${JSON.stringify(source)}], { ...options, config, parameters, out: ${JSON.stringify(path('out.safetensors'))} });
    console.log(process.resourceUsage().maxRSS);
  `;
  return (
    1024 * Number(execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }))
  );
}

test('peak memory is that of the largest tensor and less than 200 MB more', () => {
  const config = presetConfig('miss-small');
  const file = sparseCheckpoint('large.pth', config);
  expect(statSync(file).size).toBeGreaterThan(500 * MB);
  const small = { ...config, hidden: 12, intermediate: 12, vocab: 100 };
  const baseline = peakOf(sparseCheckpoint('small.pth', small), small);
  const largest = 8 * config.vocab * config.hidden;
  const peak = peakOf(file, config);
  expect((peak - baseline) / MB).toBeLessThan((largest + 200 * MB) / MB);
});
