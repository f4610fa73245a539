/** @file Adapter contents from the golden files. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { moduleOf } from '../../../graph-builder/models/config.js';
import { lossGraph } from '../../../graph-builder/models/miss.js';
import type { AdapterTensor } from '../../../graph-builder/rewrites/adapter-method.js';
import { parseVariant } from '../../../graph-builder/variant/parse.js';
import { placementOf } from '../../../graph-builder/variant/variant.js';
import { floats } from '../../../runtime/core/session.js';
import type { AdapterContents } from '../../../training-artifacts/adapters/peft-modules.js';
import { goldenConfig, readTensors } from '../../support/golden.js';
import { variantTensors } from '../../support/variants.js';

export const baseParameters = lossGraph(goldenConfig).parameters;

const stored = (path: string): [string, AdapterTensor][] =>
  Object.entries(readTensors(path)).map(([name, t]) => [
    name,
    { shape: t.dims, data: floats(t) as Float32Array },
  ]);

export const goldenAdapters = new Map(stored('lora/adapters.safetensors'));
const goldenWeights = new Map(stored('blip/weights.safetensors'));

/** A variant of test/oracles/variants with its adapters where the placement has P. */
export function variantContents(name: string, placement: string): AdapterContents {
  const variant = parseVariant(name, baseParameters, { placement });
  const modes = placementOf(variant);
  const tensors = Object.entries(variantTensors(name)).filter(([n]) => modes[moduleOf(n)] === 'P');
  return {
    variant,
    tensors: new Map(tensors.map(([n, t]) => [n, { shape: t.dims, data: floats(t) as Float32Array }])),
    baseModel: 'mile-ort/miss-tiny',
    textHeads: goldenConfig.textHeads,
  };
}

/** LoRA of rank 4 where the placement has P, the golden base weights where it has T. */
export function goldenContents(placement: string): AdapterContents {
  const variant = parseVariant(placement === 'T/T/T' ? 'full' : 'lora-r4', baseParameters, { placement });
  const of = (mode: string, tensors: ReadonlyMap<string, AdapterTensor>) =>
    [...tensors].filter(([name]) => placementOf(variant)[moduleOf(name)] === mode);
  const tensors = new Map([...of('P', goldenAdapters), ...of('T', goldenWeights)]);
  return { variant, tensors, baseModel: 'mile-ort/miss-tiny', textHeads: goldenConfig.textHeads };
}

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** An empty folder, removed after the file's tests. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-adapter-'));
  folders.push(folder);
  return folder;
}
