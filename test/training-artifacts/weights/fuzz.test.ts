/** @file Mutated weight files of every format are read, or refused by an error of the input: never another one. */
import { readFileSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { UserError } from '../../../graph-builder/errors.js';
import { lossGraph } from '../../../graph-builder/models/miss.js';
import { readOnnx } from '../../../graph-builder/onnx/read.js';
import { withWeights } from '../../../training-artifacts/weights/formats/open-source.js';
import { planImport } from '../../../training-artifacts/weights/import-plan.js';
import { inspectWeights } from '../../../training-artifacts/weights/inspect.js';
import { oracle } from '../../support/golden.js';
import { tiny } from './importing.js';
import { path } from './support.js';

const full = process.env.MILE_ORT_TEST === 'full';
const RUNS = full ? 20_000 : 2100;
/** of one file, processor time: most take 3 ms, a collection of garbage may fall into any */
const MOST_MS = 2000;

const seeds = [
  'weights/miss.pth',
  'weights/blip/pytorch_model.bin',
  'weights/tensors.pth',
  'weights/tensors-legacy.pth',
  'weights/arrays.npz',
  'weights/arrays-compressed.npz',
  'weights/timm-vit.npz',
  'weights/bert/model.safetensors',
  'weights/vit/model-00001-of-00002.safetensors',
  'weights/vit/model.safetensors.index.json',
  'imports/mlp.onnx',
  'imports/mlp-torchscript.onnx',
];
const originals = new Map(seeds.map((name) => [name, readFileSync(oracle(name))]));

/** Numbers that break sizes, counts and offsets. */
const numbers = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];

/** A place: anywhere, or near the start or the end, where headers and directories are. */
const place = fc.oneof(
  fc.double({ min: 0, max: 1, noNaN: true }).map((x) => (length: number) => Math.floor(x * (length - 1))),
  fc.nat(300).map((n) => (length: number) => Math.min(n, length - 1)),
  fc.nat(2500).map((n) => (length: number) => Math.max(0, length - 1 - n)),
);

type Mutation = (bytes: Buffer) => Buffer;

const splice = (bytes: Buffer, at: number, removed: number, added: Uint8Array): Buffer =>
  Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + removed)]);

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(place, fc.integer({ min: 0, max: 255 })).map(
    ([at, byte]): Mutation =>
      (bytes) => {
        bytes[at(bytes.length)] = byte;
        return bytes;
      },
  ),
  fc.tuple(place, fc.constantFrom(...numbers)).map(
    ([at, n]): Mutation =>
      (bytes) => {
        if (bytes.length >= 4) bytes.writeUInt32LE(n, Math.min(at(bytes.length), bytes.length - 4));
        return bytes;
      },
  ),
  fc.tuple(place, fc.nat(64)).map(
    ([at, n]): Mutation =>
      (bytes) =>
        splice(bytes, at(bytes.length), n, Buffer.alloc(0)),
  ),
  fc.tuple(place, fc.uint8Array({ maxLength: 16 })).map(
    ([at, added]): Mutation =>
      (bytes) =>
        splice(bytes, at(bytes.length), 0, added),
  ),
  fc.tuple(place, place, fc.nat(200)).map(
    ([from, to, n]): Mutation =>
      (bytes) => {
        const start = from(bytes.length);
        return splice(bytes, to(bytes.length), 0, bytes.subarray(start, start + n));
      },
  ),
  place.map(
    (at): Mutation =>
      (bytes) =>
        bytes.subarray(0, at(bytes.length) + 1),
  ),
);

/** Everything that the programs do with a file. */
async function useFile(file: string): Promise<void> {
  if (file.endsWith('.onnx')) {
    await inspectWeights(file);
    readOnnx(readFileSync(file), file, { inlineWeights: true });
    return;
  }
  await inspectWeights(file);
  await withWeights(file, (source) => {
    for (const tensor of source.tensors.values()) for (const _ of tensor.pieces());
    // what can be read may still be no weights of the model
    refusedBy(() => planImport([source], parameters, { config: tiny, seed: 0, normalisation: 'clip' }));
  });
}

function refusedBy(act: () => unknown): boolean {
  try {
    act();
    return false;
  } catch (error) {
    if (error instanceof UserError) return true;
    throw error;
  }
}

const { parameters } = lossGraph(tiny);

test('a mutated file is read or refused, in bounded time and memory', {
  timeout: full ? 1_200_000 : 60_000,
}, async () => {
  const before = process.memoryUsage().rss;
  const counts = { read: 0, refused: 0 };
  const property = fc.asyncProperty(
    fc.constantFrom(...seeds),
    fc.array(mutation, { minLength: 1, maxLength: 3 }),
    async (name, mutations) => {
      const file = path(name.replaceAll('/', '-'));
      let mutated: Buffer = Buffer.from(originals.get(name)!);
      for (const mutate of mutations) mutated = mutate(mutated);
      writeFileSync(file, mutated);
      const start = process.cpuUsage();
      try {
        await useFile(file);
        counts.read += 1;
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        counts.refused += 1;
      }
      const { user, system } = process.cpuUsage(start);
      expect((user + system) / 1000).toBeLessThan(MOST_MS);
    },
  );
  // the same files in every run of the suite; others each time at full counts
  await fc.assert(property, { numRuns: RUNS, ...(full ? {} : { seed: 6 }) });
  expect(counts.read + counts.refused).toBeGreaterThanOrEqual(RUNS);
  expect(Math.min(counts.read, counts.refused)).toBeGreaterThan(RUNS / 20);
  expect(process.memoryUsage().rss - before).toBeLessThan(400 * 2 ** 20);
});
