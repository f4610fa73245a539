/** @file The model card: every fact in it against the manifest, the log and the checkpoint. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { NOTICE } from '../../../../runtime/node/cli/main.js';
import { loadData } from '../../../../runtime/node/data.js';
import { writeReport } from '../../../../runtime/node/training/report.js';
import { emitImport } from '../../../../training-artifacts/graphs/import-model.js';
import { readManifest } from '../../../../training-artifacts/graphs/manifest.js';
import {
  float32Tensor,
  type LazyTensor,
  writeSafetensors,
} from '../../../../training-artifacts/weights/safetensors-file.js';
import { metricsOf, tinyTraining } from '../runs.js';
import { build, folder, train } from './support.js';

/** The rows of all tables under a heading. */
function tableOf(card: string, heading: string): string[][] {
  const section = card.split(/^## /m).find((part) => part.startsWith(`${heading}\n`))!;
  return section
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| ---'))
    .map((line) => line.slice(2, -2).split(' | '));
}
const factsOf = (card: string, heading: string) => Object.fromEntries(tableOf(card, heading));
const flagOf = (key: string) => `--${key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`;

let run = '';
let card = '';
const options = {
  ...tinyTraining,
  epochs: 1,
  limit: 24,
  evalEvery: 1,
  noDecay: '**.bias',
  maxSteps: undefined,
};
beforeAll(async () => {
  run = build();
  const { maxSteps: _, ...given } = options;
  await train(run, { options: given });
  const path = await writeReport(run, { finished: true, early: false });
  expect(path).toBe(join(run, 'report.md'));
  card = readFileSync(path, 'utf8');
});

test('it starts with front matter that Hugging Face reads, and ends with the notice', () => {
  const [before, front] = card.split(/^---$/m);
  expect(before).toBe('');
  for (const line of ['library_name: mile-ort', '- flaviagiammarino/vqa-rad', '- accuracy', '  results:'])
    expect(front!.split('\n')).toContain(line);
  expect(front).toMatch(/^license: unknown$/m); // weights drawn at random
  for (const line of front!.trim().split('\n')) expect(line).toMatch(/^ *(- )?([\w-]+:( |$)|\S+$)/);
  expect(card.split(NOTICE)).toHaveLength(3);
  expect(card.trimEnd().endsWith(NOTICE)).toBe(true);
  expect(card).not.toMatch(/undefined|NaN|\[object|null/);
  expect(card).not.toContain(folder); // no path of this machine
});

test('base weights and data are the manifest’s and the split’s', async () => {
  const { weights } = readManifest(run);
  expect(factsOf(card, 'Base weights')).toMatchObject({ source: weights.source, sha256: weights.sha256 });
  const data = await loadData(tinyTraining);
  const train = data.train.slice(0, 24);
  expect(factsOf(card, 'Data')).toMatchObject({
    'data set': 'vqa-rad',
    licence: 'CC0-1.0',
    split: 'official',
    'sha256 of the split': data.splitHash,
    'training questions': '24',
    'of these answered yes or no': `${train.filter((q) => /^(yes|no)$/i.test(q.answer)).length}`,
    'images of these': `${new Set(train.map((q) => q.imageId)).size}`,
    'validation questions': `${data.validation.length}`,
    'test questions (not used)': '451',
  });
});

test('counts are the manifest’s, module by module', () => {
  const { parameters } = readManifest(run);
  const [, ...rows] = tableOf(card, 'What was trained');
  const number = (text: string) => Number(text.replaceAll(',', ''));
  for (const [name, tuning, trained, frozen] of rows.slice(0, 3)) {
    const { trainable, total } = parameters.modules[name as keyof typeof parameters.modules];
    expect([number(trained!), number(frozen!)], name).toEqual([trainable, total - trainable]);
    expect(tuning).toBe(name === 'visual_encoder' ? 'trained' : 'lora');
  }
  const [, percent, trained] = rows[3]!;
  expect(number(trained!)).toBe(parameters.trainable);
  expect(percent).toBe(`${parameters.percent.toFixed(3)}%`);
  expect(card).toMatch(/- lora, .*rank 2, alpha 32, .*; \d+ sites, the first text_encoder\./);
});

test('every option is there under its flag', () => {
  const rows = factsOf(card, 'Hyperparameters');
  for (const [key, value] of Object.entries(options))
    if (!['cut', 'maxSteps', 'weightsInMemory', 'rowsSha256', 'initSha256'].includes(key))
      expect(rows[flagOf(key)], key).toBe(value === null ? 'default' : String(value));
  // what auto has chosen: this run has no frozen module
  expect(rows[flagOf('cut')]).toBe('none');
  expect(rows.optimizer).toMatch(/^AdamW/);
});

test('losses and scores are the log’s, with n and interval', () => {
  const metrics = metricsOf(run) as Record<string, number & string>[];
  const steps = metrics.filter((m) => m.type === 'step');
  const losses = Object.fromEntries(
    tableOf(card, 'Results')
      .slice(1, 4)
      .map(([what, ...rest]) => [what, rest]),
  );
  const row = (m: Record<string, number>) => [`${m.step}`, m.loss!.toFixed(4), m.tokenLoss!.toFixed(4)];
  expect(losses.first).toEqual(row(steps[0]!));
  expect(losses.last).toEqual(row(steps.at(-1)!));
  expect(losses.lowest).toEqual(row(steps.toSorted((a, b) => a.tokenLoss! - b.tokenLoss!)[0]!));
  const evaluations = metrics.filter((m) => m.type === 'evaluation');
  const scores = tableOf(card, 'Results').slice(5);
  expect(scores.map(([what, step, n]) => [what, step, n])).toEqual([
    ['before training', '0', '184'],
    ['best (by accuracy)', '3', '184'],
    ['last', '3', '184'],
  ]);
  for (const [i, [, , , accuracy]] of scores.slice(0, 2).entries()) {
    const [, share, low, high] = /^([\d.]+) \[([\d.]+), ([\d.]+)\]$/.exec(accuracy!)!.map(Number);
    expect(share).toBeCloseTo(100 * evaluations[i]!.accuracy!, 1);
    expect(low).toBeLessThanOrEqual(share!);
    expect(high).toBeGreaterThanOrEqual(share!);
  }
});

test('machine, versions and times', () => {
  const facts = factsOf(card, 'Environment');
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  expect(facts).toMatchObject({
    'mile-ort': version,
    node: process.version,
    'threads inside an operator': '1',
  });
  expect(facts.onnxruntime).toMatch(/^\d+\.\d+\.\d+$/);
  expect(facts['time in updates']).toMatch(/^\d+\.\d s$/);
  expect(card).toContain('3 steps, 3 updates; trained to the end.');
});

test.each([
  [{ finished: false, early: false }, /interrupted: ort-train --resume goes on/],
  [{ finished: true, early: true }, /ended after 0 validations without a better one/],
])('it says how the training ended: %j', async (end, message) => {
  expect(readFileSync(await writeReport(run, end), 'utf8')).toMatch(message);
});

describe('of an imported model', () => {
  test('it is shorter and says which model', async () => {
    const own = join(folder, 'mlp');
    const from = 'test/oracles/imports/mlp.onnx';
    const manifest = emitImport({ from, variant: 'full', loss: 'mse' }, own);
    const samples = 8;
    const arrays = manifest.inputs.map(({ name, shape }): [string, LazyTensor] => {
      const dims = [samples, ...shape.slice(1).map(Number)];
      const data = Float32Array.from({ length: dims.reduce((p, n) => p * n, 1) }, (_, i) => Math.sin(i));
      return [name, float32Tensor(dims, data)];
    });
    const data = join(folder, 'arrays.safetensors');
    writeSafetensors(data, new Map(arrays));
    await train(own, { options: { data, limit: null, batchSize: 4, epochs: 1, evalEvery: 1 } });
    const text = readFileSync(await writeReport(own, { finished: true, early: false }), 'utf8');
    expect(factsOf(text, 'Model')).toMatchObject({
      source: 'mlp.onnx',
      sha256: manifest.source.sha256,
      trained: manifest.parameters.trainable.toLocaleString('en-US'),
      loss: `mse of ${manifest.output}`,
    });
    expect(factsOf(text, 'Hyperparameters')['--data']).toBe('arrays.safetensors');
    expect(text).toContain('Nothing was validated.');
    expect(text).not.toMatch(/undefined|NaN|vqa-rad\b.*split/);
    expect(text).not.toContain(folder);
    expect(text.trimEnd().endsWith(NOTICE)).toBe(true);
    await expect(
      train(own, { options: { data, limit: null, batchSize: 4, earlyStopping: 1 } }),
    ).rejects.toThrow('this run has nothing to validate on');
  });
});
