/** @file Bases and adapters on disk. */
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { floats } from '../../../runtime/core/session.js';
import {
  adapterFolder,
  adapterLabels,
  baseMismatch,
  loadAdapterFolder,
  loadModel,
} from '../../../runtime/node/load-model.js';
import { exportAdapter } from '../../../runtime/node/training/finish.js';
import { noAdapter } from '../../../training-artifacts/adapters/stored-adapter.js';
import { mergeRun } from '../../../training-artifacts/graphs/merge.js';
import { maxDifference, weightsFile } from '../../support/golden.js';
import { goldenImages, goldenRun } from '../../support/golden-run.js';
import { temporaryFolder } from './runs.js';

test('labels are the names of folders, of runs, or whole paths where two would be equal', () => {
  expect(adapterLabels(['a/x', 'runs/lora-r8/adapter', 'runs/ia3/adapter/'])).toEqual([
    'x',
    'lora-r8',
    'ia3',
  ]);
  expect(adapterLabels(['a/x', 'b/x', 'y'])).toEqual(['a/x', 'b/x', 'y']);
});

test('a run, its preset’s file and its merged form in float16 serve the same adapter', async () => {
  const folder = temporaryFolder();
  const run = goldenRun(folder, 'lora-r4', 'P/P/P');
  expect(() => adapterFolder(run)).toThrow(/no adapter yet\n.*\n {2}to do: .*ort-weights export-adapter/);
  exportAdapter(run);
  expect(adapterFolder(run)).toBe(join(run, 'adapter'));
  expect(adapterFolder(join(run, 'adapter'))).toBe(join(run, 'adapter'));

  const untrained = goldenRun(folder, 'lora-r4', 'F/F/P');
  mergeRun(untrained, `${untrained}-half`, { checkpoint: 'base', precision: 'float16' });
  const states: Float32Array[] = [];
  for (const source of [run, `${untrained}-half`]) {
    const loaded = loadModel({ run: source }, 1);
    const { newSessions, loadMs, warning } = await loadAdapterFolder(loaded, 'a', adapterFolder(run));
    expect(newSessions).toBe(3);
    expect(loadMs).toBeGreaterThan(0);
    expect(warning === undefined).toBe(source === run); // the merged base has another name
    states.push(floats(await loaded.model.answerer('a').encodeImages(goldenImages)));
    await loaded.model.release();
  }
  const difference = maxDifference(states[0]!, states[1]!);
  expect(difference).toBeGreaterThan(0);
  expect(difference).toBeLessThan(0.02); // float16 has 11 bits
});

test('weights of other sizes than the preset’s are refused', () => {
  expect(() => loadModel({ preset: 'miss-small', weights: weightsFile })).toThrow(
    /is F32 \[.*the model needs/,
  );
  expect(() => loadModel({ preset: 'miss-huge' })).toThrow(/unknown preset/);
  expect(() => loadModel({ preset: 'miss-small' })).toThrow(/no trained base weights ship/);
  expect(() => loadModel({ preset: 'miss-tiny', weights: 'random' })).toThrow(
    /random weights answer nothing/,
  );
});

test('only names of our own bases are compared', () => {
  const of = (...baseModels: string[]) =>
    baseMismatch({ ...noAdapter, baseModels }, { source: 'pretrained miss-tiny' });
  expect(of('pretrained miss-tiny')).toBeUndefined();
  expect(of('Salesforce/blip-vqa-base')).toBeUndefined();
  expect(of()).toBeUndefined();
  expect(of('random seed 3')).toMatch(/'random seed 3', this one is 'pretrained miss-tiny'/);
});

test('a folder named adapter that is nobody’s is refused', async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'adapter'));
  const run = goldenRun(folder, 'ia3', 'F/F/P');
  const loaded = loadModel({ run });
  await expect(loadAdapterFolder(loaded, 'a', join(folder, 'adapter'))).rejects.toThrow(/no adapter here/);
  cpSync(exportAdapter(run), join(folder, 'adapter'), { recursive: true });
  expect((await loadAdapterFolder(loaded, 'a', join(folder, 'adapter'))).newSessions).toBe(3);
  await loaded.model.release();
});
