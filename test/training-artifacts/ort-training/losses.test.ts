/**
 * @file Our losses against those that Python's onnxruntime-training 1.19.2 gave on the same artifacts.
 *
 * To record again: run this file with ORT_TRAINING_CASES=FOLDER, then
 * test/oracles/ort_training/check_ort_training.py FOLDER/CASE/ort-training ... --layer FOLDER/layer --record.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { writeJson } from '../../../training-artifacts/files.js';
import { caseBatches, caseName, ortCases, ownLosses, writeCase } from '../../oracles/ort_training/cases.js';
import { writeLayerCase } from '../../oracles/ort_training/layer-case.js';
import { recorded } from './support.js';

const out = process.env.ORT_TRAINING_CASES;
const batches = caseBatches();
const named = ortCases.map((which) => [caseName(which), which] as const);

function compare(): void {
  test.each(named)('%s: 20 steps equal those of Python', async (name, which) => {
    const losses = await ownLosses(which, batches);
    const python = recorded().cases[name]!.losses;
    expect(python.length).toBe(losses.length);
    losses.forEach((loss, i) => {
      expect(Math.abs(loss - python[i]!) / python[i]!, `step ${i + 1}`).toBeLessThan(1e-4);
    });
  });
}

function write(folder: string): void {
  test.each(named)('writing %s', async (name, which) => {
    const own = join(folder, name.replaceAll('/', '').replace(' ', '-'), 'ort-training');
    writeCase(own, which, batches);
    writeJson(join(own, 'losses.json'), { case: name, losses: await ownLosses(which, batches) });
  });
  test('writing the layer', () => writeLayerCase(join(folder, 'layer'), 6));
}

if (out) write(out);
else compare();
