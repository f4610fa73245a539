/** @file onnxruntime-web's session: the same numbers as onnxruntime-node, and errors that say what to do. */
import { readFileSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import { UserError } from '../../../graph-builder/errors.js';
import { writeOnnx } from '../../../graph-builder/onnx/write.js';
import { float32, floats, type Session } from '../../../runtime/core/session.js';
import { INITIAL_LOSS_SCALE } from '../../../runtime/core/trainer.js';
import { openSession, runtimeVersion } from '../../../runtime/web/ort.js';
import { withSafetensors } from '../../../training-artifacts/weights/safetensors-file.js';
import { goldenConfig, goldenFeeds, norm, openGraph, weightsFile } from '../../support/golden.js';
import { gradientGraph } from '../../support/models.js';

// Sums in another order. Measured: 3e-7 of the gradient's norm at most.
const TOLERANCE = 1e-5;

const graph = gradientGraph(goldenConfig, 'full', {});
const trainable = graph.parameters.filter((p) => p.trainable);
const adapted = gradientGraph(goldenConfig, 'lora-r4', { placement: 'F/P/P' });

const tensorsOf = (names: readonly { name: string }[]) =>
  withSafetensors(weightsFile, (file) =>
    Object.fromEntries(
      names.map(({ name }) => [
        name,
        float32(new Float32Array(file.bytes(name).buffer), file.entry(name).shape),
      ]),
    ),
  );

const modelOf = (which: typeof graph): Uint8Array =>
  withSafetensors(weightsFile, ({ header }) =>
    writeOnnx(which, {
      name: 'test',
      weights: (p) => ({ location: 'w.safetensors', ...header.tensors.get(p.name)! }),
    }),
  );

let web: Session;
beforeAll(async () => {
  web = await openSession(modelOf(graph));
});

test('loss and gradients equal those of onnxruntime-node', async () => {
  const node = await openGraph(graph);
  const feeds = { ...goldenFeeds(), ...tensorsOf(trainable) };
  const [ours, theirs] = [await web.run(feeds), await node.run(feeds)];
  await node.release();
  expect(floats(ours.loss)[0]).toBeCloseTo(floats(theirs.loss)[0]!, 4);
  const all = norm(trainable.map(({ name }) => norm(floats(theirs[`${name}.grad`]))));
  for (const { name } of trainable) {
    const a = floats(ours[`${name}.grad`]);
    const b = floats(theirs[`${name}.grad`]);
    expect(norm(a.map((v, i) => v - b[i]!)), name).toBeLessThan(TOLERANCE * (norm(b) + 1e-2 * all));
  }
});

test('frozen weights come from external data', async () => {
  const data = new Uint8Array(readFileSync(weightsFile));
  const session = await openSession(modelOf(adapted), { externalData: [{ path: 'w.safetensors', data }] });
  const feeds = goldenFeeds();
  const noAdapter = Object.fromEntries(
    adapted.parameters
      .filter((p) => p.trainable)
      .map(({ name, shape }) => {
        const dims = shape as readonly number[];
        return [name, float32(new Float32Array(dims.reduce((p, n) => p * n, 1)), dims)];
      }),
  );
  const [loss] = floats((await session.run({ ...feeds, ...noAdapter }, ['loss'])).loss);
  await session.release();
  const plain = floats((await web.run({ ...feeds, ...tensorsOf(trainable) }, ['loss'])).loss)[0]!;
  expect(loss).toBeCloseTo(plain, 4);
});

test('a loss scale carries gradients of 1e-40 through the backward pass', async () => {
  const { label_weights: weights, ...feeds } = { ...goldenFeeds(), ...tensorsOf(trainable) };
  const name = 'visual_encoder.blocks.0.attn.qkv.weight.grad';
  const gradient = async (factor: number, scale: number) => {
    const shrunk = { data: floats(weights).map((w) => w * factor), dims: weights!.dims };
    const scaled = { ...feeds, label_weights: shrunk, loss_scale: float32(Float32Array.of(scale), []) };
    return floats((await web.run(scaled, [name]))[name]);
  };
  const factor = 2 ** -124; // label weights of 1/4 stay normal: the Node session above made this thread flush others
  const [normal, small] = [await gradient(1, 1), await gradient(factor, INITIAL_LOSS_SCALE)];
  const unscaled = Array.from(small, (v) => v / INITIAL_LOSS_SCALE);
  const denormal = unscaled.filter((v) => v !== 0 && Math.abs(v) < 2 ** -126);
  expect(denormal.length / unscaled.length).toBeGreaterThan(0.5);
  const restored = unscaled.map((v) => v / factor);
  expect(norm(restored.map((v, i) => v - normal[i]!))).toBeLessThan(TOLERANCE * norm(normal));
});

test('one output may be asked for alone, and the version is known', async () => {
  const results = await web.run({ ...goldenFeeds(), ...tensorsOf(trainable) }, ['loss']);
  expect(Object.keys(results)).toEqual(['loss']);
  expect(await runtimeVersion()).toMatch(/^\d+\.\d+\.\d+/);
});

test('a graph that does not load says what to do', async () => {
  const broken = openSession(new Uint8Array(16));
  await expect(broken).rejects.toThrow(UserError);
  await expect(broken).rejects.toThrow(/cannot load the graph: .*\n {2}where: .*\n {2}to do: give each file/);
  await expect(openSession(modelOf(adapted))).rejects.toThrow(/w\.safetensors|external/i);
});
