/** @file Weights read tensor by tensor: the numbers of the whole file, and nothing that the graph does not name. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { writeOnnx } from '../../../graph-builder/onnx/write.js';
import { float32, floats } from '../../../runtime/core/session.js';
import { lazyBytes } from '../../../runtime/web/lazy-bytes.js';
import { openSession } from '../../../runtime/web/ort.js';
import { withSafetensors } from '../../../training-artifacts/weights/safetensors-file.js';
import { goldenConfig, goldenFeeds, weightsFile } from '../../support/golden.js';
import { gradientGraph } from '../../support/models.js';

const file = new Uint8Array(readFileSync(weightsFile));
const graph = gradientGraph(goldenConfig, 'lora-r4', { placement: 'F/P/P' });
const { model, named } = withSafetensors(weightsFile, ({ header }) => {
  const entry = (name: string) => header.tensors.get(name)!;
  const frozen = graph.parameters.filter((p) => !p.trainable);
  return {
    model: writeOnnx(graph, { name: 'test', weights: ({ name }) => ({ location: 'w', ...entry(name) }) }),
    named: new Set(frozen.map(({ name }) => `${entry(name).offset} ${entry(name).length}`)),
  };
});

const adapters = Object.fromEntries(
  graph.parameters
    .filter((p) => p.trainable)
    .map(({ name, shape }) => {
      const dims = shape as readonly number[];
      return [name, float32(new Float32Array(dims.reduce((p, n) => p * n, 1)).fill(0.01), dims)];
    }),
);

async function lossWith(data: Uint8Array): Promise<number> {
  const session = await openSession(model, { externalData: [{ path: 'w', data }] });
  const { loss } = await session.run({ ...goldenFeeds(), ...adapters }, ['loss']);
  await session.release();
  return floats(loss)[0]!;
}

test('named tensors are read one by one, and the numbers are those of the whole file', async () => {
  const reads: string[] = [];
  const lazy = lazyBytes(file.length, (from, to) => {
    reads.push(`${from} ${to - from}`);
    return file.slice(from, to);
  });
  expect(await lossWith(lazy)).toBe(await lossWith(file));
  expect(new Set(reads)).toEqual(named);
});

test('a file that ends too early is refused', async () => {
  const short = lazyBytes(file.length / 2, (from, to) => file.slice(from, to));
  await expect(lossWith(short)).rejects.toThrow(/cannot load the graph/);
});
