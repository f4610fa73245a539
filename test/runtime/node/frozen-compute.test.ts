/** @file Runs whose frozen products are in 8 bits: built, trained, cut and answered by the same commands. */
import { readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { readOnnx } from '../../../graph-builder/onnx/read.js';
import { sensitiveLayers } from '../../../runtime/node/calibrate-int8.js';
import { withFrozenCompute } from '../../../runtime/node/frozen-compute-options.js';
import { runFingerprint } from '../../../runtime/node/inference.js';
import { emitVariant } from '../../../training-artifacts/graphs/emit.js';
import { readManifest, weightsPath } from '../../../training-artifacts/graphs/manifest.js';
import { planVariant } from '../../../training-artifacts/graphs/plan.js';
import { sha256 } from '../../../training-artifacts/weights/pretrained.js';
import {
  float32Tensor,
  withSafetensors,
  writeSafetensors,
} from '../../../training-artifacts/weights/safetensors-file.js';
import { expectMessage, instead, metricsOf, runProgram, temporaryFolder, tinyBuild } from './runs.js';

const folder = temporaryFolder();
const adapted = instead('T/P/P', 'F/P/P');
const training = '--limit 160 --batch-size 8 --epochs 1 --eval-every 0 --threads 1 --lr 1e-3'.split(' ');
const run = (name: string): string => join(folder, 'runs', name);

async function program(bin: string, ...flags: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runProgram(bin, flags, folder);
  expect(code, stderr).toBe(0);
  return stdout;
}

const losses = (name: string): number[] =>
  metricsOf(run(name))
    .filter((line) => line.type === 'step')
    .map((line) => line.loss as number);

beforeAll(async () => {
  await program('ort-train', ...adapted, ...training, '--name', 'float32', '--cut', 'vit');
  const int8 = ['--frozen-compute', 'int8', '--name', 'int8', '--cut', 'vit'];
  await program('ort-train', ...adapted, ...training, ...int8);
});

describe.concurrent('a run in 8 bits', () => {
  test('20 steps stay close to those of float32, and are not the same', () => {
    const [ours, theirs] = [losses('int8'), losses('float32')];
    expect(ours.length).toBe(20);
    const off = ours.map((loss, i) => Math.abs(loss / theirs[i]! - 1));
    expect(Math.max(...off)).toBeGreaterThan(1e-6);
    expect(Math.max(...off)).toBeLessThan(5e-3); // measured: 3e-4
  });

  test('the manifest says what is in 8 bits, and the features have a key of their own', () => {
    const [int8, float32] = [readManifest(run('int8')), readManifest(run('float32'))];
    expect(int8.frozenCompute).toMatchObject({ form: 'dynamic', skip: 'auto' });
    expect(int8.frozenCompute!.modules.length).toBe(3);
    expect(float32.frozenCompute).toBeUndefined();
    expect(int8.graphs.frozenVit!.sha256).not.toBe(float32.graphs.frozenVit!.sha256);
    // kept scores and temperatures are not taken for the other's
    expect(runFingerprint(run('int8'), 'base')).not.toBe(runFingerprint(run('float32'), 'base'));
    expect(int8.weights.int8!.file).toMatch(/\.dynamic-[0-9a-f]{12}\.safetensors$/);
  });

  test('it is scored and answers', async () => {
    await program('ort-eval', '--run', run('int8'), '--limit', '4');
    const image = new URL('../../../datasets/vqa-rad/images/synpic100132.jpg', import.meta.url).pathname;
    const answer = ['--run', run('int8'), '--image', image, '--question', 'is this normal?'];
    expect(JSON.parse(await program('ort-answer', ...answer, '--json')).probability).toBeGreaterThan(0);
  });

  test('a lost copy of the weights is made again, the same', () => {
    const manifest = readManifest(run('int8'));
    const copy = join(dirname(weightsPath(run('int8'), manifest)), manifest.weights.int8!.file);
    rmSync(copy);
    weightsPath(run('int8'), manifest);
    expect(sha256(copy)).toBe(manifest.weights.int8!.sha256);
  });

  test('modules, layers and forms are chosen', async () => {
    const flags = ['--frozen-compute', 'int8-weight-only:text_encoder,text_decoder'];
    const skip = ['--int8-skip', '**.crossattention.**'];
    const printed = await program('build-graph', ...adapted, ...flags, ...skip, '--name', 'chosen');
    expect(printed).toContain(
      'weight-only: text_encoder, text_decoder; layers left in float32 (**.crossattention.**): 8',
    );
    const { weights } = readOnnx(readFileSync(join(run('chosen'), 'model.onnx')), 'model.onnx');
    const small = [...weights.keys()].filter((name) => name.endsWith('.q8'));
    expect(small.length).toBeGreaterThan(5);
    for (const name of small) expect(name).toMatch(/^text_(?!.*crossattention)/);
    const { int8, file } = readManifest(run('chosen')).weights;
    const files = new Set([...weights.values()].map(({ location }) => location));
    expect(files).toEqual(new Set([file, int8!.file].map((f) => basename(f))));
  });

  test('words that say nothing are refused with exit code 2', async () => {
    const flags = [...adapted, '--frozen-compute', 'int4'];
    await expectMessage('build-graph', flags, /^'int4' is neither float32 nor int8\n.*--frozen-compute\n/);
  });
});

test.each([
  ['int8:vit', 'none', /^'int8:vit' is neither/],
  [undefined, 'none', /^there are no 8-bit products\n.*--int8-skip\n/],
  ['int8', 'nothing.*', /^'nothing\.\*' matches no weight of a product\n/],
])('%s, skip %s is refused', async (compute, skip, message) => {
  await expect(withFrozenCompute(tinyBuild, compute, skip)).rejects.toThrow(message);
});

test('8-bit products and products of 16 bits exclude each other', async () => {
  const build = await withFrozenCompute({ ...tinyBuild, precision: 'float16' }, 'int8', 'none');
  expect(() => planVariant(build)).toThrow(
    /^8-bit products need float32 around them\n.*--precision float16\n/,
  );
});

/** Random weights in which one channel before the first qkv is 300 times as large, and its weights as much smaller. */
function withOutlier(): string {
  const built = join(temporaryFolder(), 'run');
  const manifest = emitVariant(tinyBuild, built);
  const path = join(temporaryFolder(), 'outlier.safetensors');
  const block = 'visual_encoder.blocks.0';
  withSafetensors(weightsPath(built, manifest), (file) => {
    const changed = (name: string): Float32Array => {
      const values = file.float32(name);
      const { hidden } = manifest.config;
      if (name === `${block}.norm1.weight`) values[3]! *= 300;
      if (name === `${block}.attn.qkv.weight`)
        for (let row = 0; row < 3 * hidden; row++) values[row * hidden + 3]! /= 300;
      return values;
    };
    const tensors = [...file.header.tensors].map(
      ([name, { shape }]) => [name, float32Tensor(shape, changed(name))] as const,
    );
    writeSafetensors(path, new Map(tensors));
  });
  return path;
}

test('auto leaves the layer in float32 whose input has an outlier', async () => {
  const build = await withFrozenCompute({ ...tinyBuild, weights: withOutlier() }, 'int8');
  const { skipped } = build.frozenCompute!;
  expect(skipped.map(({ name }) => name)).toEqual(['visual_encoder.blocks.0.attn.qkv.weight']);
  expect(skipped[0]!.error).toBeGreaterThan(0.1);
});

test('sensitive layers: above twice the median, the worst first, a tenth at most', () => {
  const errors = new Map(Array.from({ length: 40 }, (_, i) => [`layer${i}`, 0.01 + 1e-5 * i]));
  expect(sensitiveLayers(errors)).toEqual([]);
  for (const [i, error] of [0.5, 0.03, 0.9, 0.4, 0.3, 0.019].entries()) errors.set(`layer${i}`, error);
  const found = sensitiveLayers(errors);
  expect(found.map(({ name }) => name)).toEqual(['layer2', 'layer0', 'layer3', 'layer4']);
  expect(found[0]).toEqual({ name: 'layer2', error: 0.9 });
  expect(sensitiveLayers(new Map())).toEqual([]);
});
