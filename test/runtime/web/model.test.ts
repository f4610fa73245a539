/** @file The browser's model on onnxruntime-web in Node: what it does when a device fails, and whose sessions it uses. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { loadTokenizer } from '../../../datasets/load-tokenizer.js';
import { type Choice, parseDevice } from '../../../runtime/web/choose-device.js';
import { Model, type Note } from '../../../runtime/web/model.js';
import { readManifest, readWeights } from '../../../runtime/web/read-run.js';
import type { RunSource } from '../../../runtime/web/run-source.js';
import { adapterZip } from '../../../runtime/web/training/adapter-zip.js';
import { emitVariant } from '../../../training-artifacts/graphs/emit.js';
import { temporaryFolder, tinyBuild } from '../node/runs.js';

const wasm: Choice = { device: 'wasm', threads: 1, isolated: false, forced: false };
const image = { data: new Uint8Array(3 * 40 * 40).map((_, i) => i), width: 40, height: 40 };

/** A folder as a source. */
const folderSource = (folder: string): RunSource => ({
  name: folder,
  find: async (file) =>
    existsSync(join(folder, file)) ? new Uint8Array(readFileSync(join(folder, file))) : undefined,
  large: async (file) => new Blob([readFileSync(join(folder, file))]),
});

let run: string;
beforeAll(() => {
  run = join(temporaryFolder(), 'tiny');
  emitVariant({ ...tinyBuild, selfContained: true }, run);
});

async function open(choice: Choice, notes: Note[] = []): Promise<Model> {
  const source = folderSource(run);
  const manifest = await readManifest(source);
  const weights = await readWeights(source, manifest);
  const options = { onNote: (note: Note) => notes.push(note) };
  const model = new Model(source, manifest, loadTokenizer(), weights, choice, options);
  model.setAdapter('run', await model.trained());
  return model;
}

test('where WebGPU fails WebAssembly takes over, and it is said', async () => {
  const notes: Note[] = [];
  const [failing, plain] = [await open({ ...wasm, device: 'webgpu' }, notes), await open(wasm)];
  const [a, b] = [await failing.answer(image, 'what is it?'), await plain.answer(image, 'what is it?')];
  expect(notes).toEqual(['device-lost']);
  expect(failing.device.device).toBe('wasm');
  expect({ ...a, milliseconds: 0 }).toEqual({ ...b, milliseconds: 0 });
  await failing.dispose();
  expect((await plain.answer(image, 'what is it?')).answer).toBe(b.answer); // a session that both used lives on
  await plain.dispose();
});

test('a device that was asked for by name is not replaced', async () => {
  const model = await open({ ...wasm, device: 'webgpu', forced: true });
  await expect(model.answer(image, 'what is it?')).rejects.toThrow(/cannot load the graph.*WebGPU/s);
});

test('wrong adapters, devices and questions are refused with what there is', async () => {
  const model = await open(wasm);
  await expect(model.answer(image, 'what?', { adapter: 'other' })).rejects.toThrow(
    /no adapter 'other'.*choose from run/s,
  );
  await expect(model.answer(image, ' ')).rejects.toThrow(/question is empty/);
  const other = join(temporaryFolder(), 'other');
  emitVariant({ ...tinyBuild, variant: 'ia3', selfContained: true }, other);
  const foreign = await readManifest(folderSource(other));
  const { unzipSync } = await import('fflate');
  const values = new Map(
    foreign.trainable.map(({ name, shape }) => [
      name,
      { shape, data: new Float32Array(shape.reduce((p, n) => p * n, 1)) },
    ]),
  );
  const files = unzipSync(adapterZip(foreign, values));
  const source: RunSource = {
    name: 'ia3 adapter',
    find: async (file) => files[`adapter/${file}`] as Uint8Array<ArrayBuffer> | undefined,
    large: async () => new Blob(),
  };
  await expect(model.loadAdapter('x', source)).rejects.toThrow(
    /it has no .*lora_.*to do: choose an adapter of the same/s,
  );
  await expect(model.loadAdapter('x', folderSource(run))).rejects.toThrow(/no adapter here/);
  expect(() => parseDevice('cuda')).toThrow(/choose from auto, webgpu, wasm/);
  await model.dispose();
});

test('a folder that is no run, and a graph that is damaged, are refused', async () => {
  const source = folderSource(run);
  const manifest = await readManifest(source);
  const shown = (json: object): RunSource => ({
    ...source,
    find: async (file) =>
      file === 'manifest.json' ? new TextEncoder().encode(JSON.stringify(json)) : source.find(file),
  });
  await expect(readManifest(shown({ format: 'mile-ort imported run 1' }))).rejects.toThrow(
    /not a run that answers.*imported/s,
  );
  await expect(readManifest({ ...source, find: async () => undefined })).rejects.toThrow(
    /file not found.*whole run folder/s,
  );
  const cut: RunSource = {
    ...source,
    find: async (file) => (await source.find(file))?.slice(file.endsWith('.onnx') ? 10 : 0),
  };
  const weights = await readWeights(source, manifest);
  const model = new Model(
    cut,
    { ...manifest, seed: 1 },
    loadTokenizer(),
    weights,
    { ...wasm, threads: 2 },
    {},
  );
  model.setAdapter('run', await model.trained());
  await expect(model.answer(image, 'what?')).rejects.toThrow(/graph is damaged.*copy the run again/s);
});
