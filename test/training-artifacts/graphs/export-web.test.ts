/** @file Exported folders: whole, listed with hashes, and answering like the run in Node and in WebAssembly. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { FileError } from '../../../graph-builder/errors.js';
import { float32, floats } from '../../../runtime/core/session.js';
import { openRun, servingFeeds } from '../../../runtime/node/inference.js';
import { openSession } from '../../../runtime/web/ort.js';
import {
  initialTensors,
  type TrainedTensor,
  trainedValues,
  writeCheckpoint,
} from '../../../training-artifacts/checkpoint/checkpoint.js';
import { readJson } from '../../../training-artifacts/files.js';
import { emitVariant } from '../../../training-artifacts/graphs/emit.js';
import {
  exportWeb,
  type WebExportOptions,
  type WebManifest,
} from '../../../training-artifacts/graphs/export-web.js';
import { readManifest, weightsPath } from '../../../training-artifacts/graphs/manifest.js';
import { listing, runProgram, temporaryFolder, tinySizes } from '../../runtime/node/runs.js';
import { norm } from '../../support/golden.js';
import { seededNormal } from '../../support/one-op.js';

const progress = { best: null, sinceBest: 0, evaluated: -1 };
const state = { step: 1, batches: 1, lossScale: 1, ...progress, options: {}, environment: {} };

/** A run whose trained tensors have moved away from where they started. */
function trainedRun(variant: string, placement: string): string {
  const run = join(temporaryFolder(), 'run');
  const manifest = emitVariant(
    { preset: 'miss-tiny', sizes: tinySizes, weights: 'random', variant, placement },
    run,
  );
  const random = seededNormal(3);
  const moved = [...initialTensors(run, manifest)].map(([name, t]): [string, TrainedTensor] => {
    const noise = random(t.value.length);
    return [name, { ...t, value: t.value.map((v, i) => v + 0.05 * noise[i]!) }];
  });
  writeCheckpoint(run, 'last', new Map(moved), state);
  return run;
}

const pixels = Float32Array.from({ length: 3 * 32 * 32 }, (_, i) => Math.sin(i));

/** Image states, and the best answer to one question about one image. */
async function answerOf(run: string) {
  const { answerer } = await openRun(run, 'auto', 1);
  const states = await answerer.encodeImages([pixels]);
  const [beams] = await answerer.answer(states, [{ image: 0, ids: [30523, 2003, 2045, 102] }]);
  return { states: floats(states), best: beams![0]! };
}

const webOf = (folder: string): WebManifest => readJson(join(folder, 'web.json')) as WebManifest;
const error = (a: Float32Array, b: Float32Array): number => norm(a.map((v, i) => v - b[i]!)) / norm(b);

const dynamic = { form: 'dynamic', modules: ['visual_encoder', 'text_encoder', 'text_decoder'] } as const;
const int8 = { ...dynamic, modules: [...dynamic.modules], skip: 'none', skipped: [] };

// products in 8 bits err by 1 to 3%, float16 by 5e-4, through one layer
const forms: readonly (readonly [string, WebExportOptions, number])[] = [
  ['float32', { quantize: 'none' }, 1e-6],
  ['float16', { quantize: 'fp16' }, 2e-3],
  ['int8 dynamic', { quantize: 'int8', frozenCompute: int8 }, 0.05],
  ['int8 weight-only', { quantize: 'int8', frozenCompute: { ...int8, form: 'weight-only' } }, 0.02],
];

describe('a run with adapters', () => {
  const run = trainedRun('lora-r2', 'P/P/P');

  test.each(forms)('%s: answers like the run, in Node and in WebAssembly', async (_, options, tolerance) => {
    const out = join(temporaryFolder(), 'web');
    const manifest = exportWeb(run, out, options);
    const [before, after] = [await answerOf(run), await answerOf(out)];
    expect(error(after.states, before.states)).toBeLessThan(tolerance);
    expect(Math.abs(after.best.score - before.best.score)).toBeLessThan(10 * tolerance);
    if (options.quantize !== 'none') expect(error(after.states, before.states)).toBeGreaterThan(1e-5);
    const data = new Uint8Array(readFileSync(join(out, manifest.weights.file)));
    const session = await openSession(readFileSync(join(out, manifest.graphs.imageEncoder!.file)), {
      externalData: [{ path: manifest.weights.file, data }],
    });
    const feeds = servingFeeds(trainedValues(out, manifest), manifest);
    const { image_states: states } = await session.run({
      ...feeds,
      pixel_values: float32(pixels, [1, 3, 32, 32]),
    });
    await session.release();
    expect(error(floats(states), after.states)).toBeLessThan(options.quantize === 'int8' ? 1e-3 : 1e-5);
  });

  test('everything is in the folder and listed with its size and hash', () => {
    const out = join(temporaryFolder(), 'web');
    exportWeb(run, out, { quantize: 'fp16' });
    const { files, bytes, quantize } = webOf(out);
    const found = listing(out).filter((file) => /\.\w+$/.test(file) && file !== 'web.json');
    expect(files.map(({ file }) => file).sort()).toEqual(found.sort());
    for (const { file, sha256, bytes: size } of files) {
      const content = readFileSync(join(out, file));
      expect(content.length).toBe(size);
      expect(createHash('sha256').update(content).digest('hex')).toBe(sha256);
    }
    expect(bytes).toBe(files.reduce((n, f) => n + f.bytes, 0));
    expect(quantize).toBe('fp16');
    expect(readManifest(out).weights.folder).toBe('.');
  });

  test('weights above the limit come in several files; one that is lost is named', async () => {
    const out = join(temporaryFolder(), 'web');
    const limit = 2e6;
    const { weights } = exportWeb(run, out, { quantize: 'none', shardBytes: limit });
    expect(weights.shards!.length).toBeGreaterThan(2);
    const tables = 30524 * 32 * 4; // a tensor above the limit has a file of its own
    for (const { bytes } of weights.shards!) expect(bytes).toBeLessThan(Math.max(limit, tables) + 1e4);
    expect(error((await answerOf(out)).states, (await answerOf(run)).states)).toBeLessThan(1e-6);
    const lost = weights.shards![1]!.file;
    rmSync(join(out, lost));
    expect(() => weightsPath(out, readManifest(out))).toThrow(FileError);
    expect(() => weightsPath(out, readManifest(out))).toThrow(new RegExp(`part of the weights.*\n.*${lost}`));
  });

  test('neither a run nor an export is replaced by accident', () => {
    const out = join(temporaryFolder(), 'web');
    exportWeb(run, out, { quantize: 'none' });
    const again = () => exportWeb(run, out, { quantize: 'fp16' });
    expect(again).toThrow(/^there is an export already\n.*\n.*--overwrite/);
    expect(webOf(out).quantize).toBe('none');
    exportWeb(run, out, { quantize: 'fp16', overwrite: true });
    expect(webOf(out).quantize).toBe('fp16');
    const replace = (target: string) => () => exportWeb(run, target, { quantize: 'none', overwrite: true });
    expect(replace(run)).toThrow(/^the export would replace the run it is made from\n/);
    expect(replace(trainedRun('lora-r2', 'F/P/P'))).toThrow(/^the folder is a run, not an export\n/);
  });

  test('graphs that train go along if asked for', () => {
    const [small, whole] = [join(temporaryFolder(), 'a'), join(temporaryFolder(), 'b')];
    expect(Object.keys(exportWeb(run, small, { quantize: 'none' }).graphs).sort()).toEqual([
      'answerDecoder',
      'imageEncoder',
      'questionEncoder',
    ]);
    const all = exportWeb(run, whole, { quantize: 'int8', frozenCompute: int8, withTraining: true });
    expect(Object.keys(all.graphs)).toEqual(Object.keys(readManifest(run).graphs));
    for (const { file } of Object.values(all.graphs)) expect(existsSync(join(whole, file))).toBe(true);
  });
});

test('a run with a module trained whole is merged: nothing large is left out of the weights', async () => {
  const run = trainedRun('lora-r2', 'T/P/P');
  const out = join(temporaryFolder(), 'web');
  const manifest = exportWeb(run, out, { quantize: 'none' });
  expect(manifest.trainable).toEqual([]);
  const [before, after] = [await answerOf(run), await answerOf(out)];
  expect(error(after.states, before.states)).toBeLessThan(1e-5);
  expect(after.best.score).toBeCloseTo(before.best.score, 3);
});

test('the program prints sizes and the difference, and refuses flags that mean nothing', async () => {
  const run = trainedRun('lora-r2', 'F/P/P');
  const folder = temporaryFolder();
  const flags = ['export-web', run, '--out', 'web', '--quantize', 'int8', '--int8-skip', 'none'];
  const { code, stdout, stderr } = await runProgram('ort-weights', [...flags, '--limit', '4'], folder);
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/^web: .* as int8, dynamic, 3 graphs\n/);
  expect(stdout).toMatch(/weights\.safetensors +\d+\.\d MB/);
  expect(stdout).toMatch(/difference [+-]\d+\.\d points \(95% interval .*; \d of 4 answers changed/);
  expect(webOf(join(folder, 'web')).form).toBe('dynamic');
  expect(existsSync(join(folder, 'web', 'eval'))).toBe(false);
  const refused = await runProgram(
    'ort-weights',
    ['export-web', run, '--out', 'x', '--form', 'dynamic'],
    folder,
  );
  expect(refused.code).toBe(2);
  expect(refused.stderr).toMatch(/^--form needs --quantize int8\n/);
});
