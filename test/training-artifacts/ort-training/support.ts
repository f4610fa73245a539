/** @file What check_ort_training.py recorded, and folders to write into. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { oracle } from '../../support/golden.js';

interface Recorded {
  readonly cases: Readonly<Record<string, { readonly losses: readonly number[] }>>;
  /** six steps of layer-case.ts; the checkpoint was saved after the third */
  readonly layer: { readonly losses: readonly number[] };
}

export const recorded = (): Recorded =>
  JSON.parse(readFileSync(oracle('ort_training/ort-training.golden.json'), 'utf8')) as Recorded;

/** Saved by `CheckpointState.save_checkpoint`, with the optimizer's state and without. */
export const savedByPython = {
  withMoments: oracle('ort_training/layer.checkpoint'),
  withoutMoments: oracle('ort_training/layer-weights.checkpoint'),
};

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

/** An empty folder, removed after the file's tests. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-training-'));
  folders.push(folder);
  return folder;
}
