/** @file Merged runs answer like the runs they come from, by graphs without an extra node. */
import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../../graph-builder/errors.js';
import { lossGraph } from '../../../graph-builder/models/miss.js';
import { float32, floats } from '../../../runtime/core/session.js';
import { openGraph } from '../../../runtime/node/inference.js';
import {
  initialTensors,
  readCheckpoint,
  type TrainedTensor,
  writeCheckpoint,
} from '../../../training-artifacts/checkpoint/checkpoint.js';
import { emitVariant } from '../../../training-artifacts/graphs/emit.js';
import { readManifest } from '../../../training-artifacts/graphs/manifest.js';
import { mergeRun } from '../../../training-artifacts/graphs/merge.js';
import { exportWeights } from '../../../training-artifacts/weights/export-weights.js';
import { fromHalf, toHalf } from '../../../training-artifacts/weights/half.js';
import { hfBlipName } from '../../../training-artifacts/weights/layouts/hf-blip.js';
import {
  float32Tensor,
  withSafetensors,
  writeSafetensors,
} from '../../../training-artifacts/weights/safetensors-file.js';
import { temporaryFolder, tinySizes } from '../../runtime/node/runs.js';
import { goldenFeeds, maxDifference } from '../../support/golden.js';
import { seededNormal } from '../../support/one-op.js';

const tinyBase = { preset: 'miss-tiny', sizes: tinySizes, weights: 'random' };
const progress = { best: null, sinceBest: 0, evaluated: -1 };
const state = { step: 1, batches: 1, lossScale: 1, ...progress, options: {}, environment: {} };

/** A run whose adapters and T modules have moved away from where they started. */
function trainedRun(variant: string, placement: string, distance = 0.2): string {
  const run = join(temporaryFolder(), 'run');
  const manifest = emitVariant({ ...tinyBase, variant, placement }, run);
  const random = seededNormal(3);
  const moved = [...initialTensors(run, manifest)].map(([name, t]): [string, TrainedTensor] => {
    const noise = random(t.value.length);
    return [name, { ...t, value: t.value.map((v, i) => v + distance * noise[i]!) }];
  });
  writeCheckpoint(run, 'last', new Map(moved), state);
  return run;
}

async function logitsOf(run: string): Promise<Float32Array> {
  const manifest = readManifest(run);
  const session = await openGraph(run, manifest, 'forward', { threads: 1 });
  const values = manifest.trainable.length === 0 ? [] : [...readCheckpoint(run, 'last', manifest).tensors];
  const trained = Object.fromEntries(values.map(([name, t]) => [name, float32(t.value, t.shape)]));
  const { logits } = await session.run({ ...trained, ...goldenFeeds(manifest.config) });
  await session.release();
  return floats(logits);
}

/** Of a serving graph of a merged run. */
async function imageStates(run: string) {
  const manifest = readManifest(run);
  const session = await openGraph(run, manifest, 'imageEncoder', { threads: 1 });
  const states = await session.run(goldenFeeds(manifest.config));
  await session.release();
  return states;
}

describe('merged logits equal unmerged ones', () => {
  test.each([
    ['lora-r2', 'P/P/P'],
    ['rslora-r2', 'F/P/P'],
    ['dora-r2', 'P/P/P'],
    ['ia3', 'P/P/P'],
    ['lora-r2', 'T/T/P'],
  ])('%s at %s', async (variant, placement) => {
    const run = trainedRun(variant, placement);
    const merged = `${run}-merged`;
    mergeRun(run, merged);
    const [before, after] = [await logitsOf(run), await logitsOf(merged)];
    const scale = before.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    expect(maxDifference(after, before)).toBeLessThan(1e-5 * scale);
    const untrained = join(temporaryFolder(), 'base');
    const { parameters } = emitVariant({ ...tinyBase, variant: 'full' }, untrained);
    const manifest = readManifest(merged);
    expect(manifest.trainable).toEqual([]);
    expect(manifest.graphs.training).toBeUndefined();
    expect(manifest.parameters.total).toBe(parameters.total);
  });
});

describe('merged weights in float16', () => {
  test('answers as float32 weights that are rounded to float16, from half the file', async () => {
    const run = trainedRun('lora-r2', 'P/P/P');
    const [single, half, rounded] = [`${run}-single`, `${run}-half`, `${run}-rounded`];
    mergeRun(run, single);
    mergeRun(run, half, { precision: 'float16' });
    const size = (folder: string) => statSync(join(folder, 'model.safetensors')).size;
    expect(size(half) / size(single)).toBeLessThan(0.52);
    // the oracle: rounded by hand, graphs without a cast
    const file = `${rounded}.safetensors`;
    withSafetensors(join(single, 'model.safetensors'), (stored) => {
      const tensors = [...stored.header.tensors].map(([name, { shape }]) => {
        const values = stored.float32(name);
        return [name, float32Tensor(shape, shape.length > 1 ? fromHalf(toHalf(values)) : values)] as const;
      });
      writeSafetensors(file, new Map(tensors));
    });
    emitVariant({ ...tinyBase, variant: 'full', weights: file }, rounded);
    const full = readManifest(rounded);
    const session = await openGraph(rounded, full, 'forward', { threads: 1 });
    const values = [...initialTensors(rounded, full)].map(
      ([n, t]) => [n, float32(t.value, t.shape)] as const,
    );
    const { logits } = await session.run({ ...Object.fromEntries(values), ...goldenFeeds(full.config) });
    await session.release();
    const [halved, exact] = [await logitsOf(half), await logitsOf(single)];
    expect(maxDifference(halved, floats(logits))).toBeLessThan(1e-5);
    expect(maxDifference(halved, exact)).toBeGreaterThan(1e-4); // or nothing was rounded
    const { image_states: states } = await imageStates(half);
    expect(maxDifference(floats(states), floats((await imageStates(single)).image_states))).toBeLessThan(
      0.05,
    );
  });

  test('a weight beyond its range is named, and nothing is written', () => {
    const run = trainedRun('lora-r2', 'F/F/P', 1e6);
    expect(() => mergeRun(run, `${run}-half`, { precision: 'float16' })).toThrow(
      /is beyond float16's range\n.*text_decoder.*\.weight\n.*--precision float32/,
    );
    expect(existsSync(`${run}-half`)).toBe(false);
  });
});

test('`ort-weights export` writes the merged weights under both layouts', async () => {
  const run = trainedRun('lora-r2', 'T/P/P');
  const folder = temporaryFolder();
  mergeRun(run, join(folder, 'merged'));
  const options = { source: run, dtype: 'float32', checkpoint: 'auto' } as const;
  const miss = join(folder, 'miss.safetensors');
  await exportWeights({ ...options, layout: 'miss', out: miss });
  const hf = await exportWeights({ ...options, layout: 'hf-blip', out: join(folder, 'hf') });
  expect(hf.normalisation).toBe(readManifest(run).image.normalisation);
  const hashesOf = (file: string, nameOf = (name: string) => name) =>
    withSafetensors(file, (f) =>
      [...lossGraph(readManifest(run).config).parameters].map(({ name }) =>
        createHash('sha256')
          .update(f.bytes(nameOf(name)))
          .digest('hex'),
      ),
    );
  const merged = hashesOf(join(folder, 'merged', 'model.safetensors'));
  expect(hashesOf(miss)).toEqual(merged);
  expect(hashesOf(hf.files[0]!, hfBlipName)).toEqual(merged);
});

test('a prefix cannot be merged, and nothing is written', async () => {
  const run = trainedRun('prefix-n4', 'F/P/P');
  expect(() => mergeRun(run, `${run}-merged`)).toThrow(UserError);
  expect(() => mergeRun(run, `${run}-merged`)).toThrow(
    /prefix cannot be merged.*\n.*text_encoder\n.*served as it is/,
  );
  expect(existsSync(`${run}-merged`)).toBe(false);
  const out = `${run}.safetensors`;
  const exported = exportWeights({ source: run, layout: 'miss', out, dtype: 'float32', checkpoint: 'auto' });
  await expect(exported).rejects.toThrow(/prefix cannot be merged/);
  expect(existsSync(out)).toBe(false);
});
