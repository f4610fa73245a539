/** @file Training where the graphics card fails in the middle: the numbers of a training that never had one. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test, vi } from 'vitest';
import { loadTokenizer } from '../../../../datasets/load-tokenizer.js';
import type { Choice } from '../../../../runtime/web/choose-device.js';
import { Model, type Note } from '../../../../runtime/web/model.js';
import type * as Ort from '../../../../runtime/web/ort.js';
import { readManifest, readWeights } from '../../../../runtime/web/read-run.js';
import type { RunSource } from '../../../../runtime/web/run-source.js';
import { tuneDefaults } from '../../../../runtime/web/training/defaults.js';
import {
  bestValues,
  firstCheckpoint,
  type TuneEvent,
  Tuning,
} from '../../../../runtime/web/training/tuning.js';
import { emitVariant } from '../../../../training-artifacts/graphs/emit.js';
import { temporaryFolder, tinyBuild } from '../../node/runs.js';

/** Runs that sessions on the card have left before it fails; -1: none ever opens. */
const card = vi.hoisted(() => ({ left: 0 }));

vi.mock('../../../../runtime/web/ort.js', async (load) => {
  const real = await load<typeof Ort>();
  const openSession: typeof Ort.openSession = async (model, options = {}) => {
    if (options.device !== 'webgpu') return real.openSession(model, options);
    if (card.left < 0) throw new Error('no such device');
    const session = await real.openSession(model, { ...options, device: 'wasm' });
    return {
      ...session,
      run(...feeds) {
        if (card.left === 0) throw new Error('the device is lost');
        card.left -= 1;
        return session.run(...feeds);
      },
    };
  };
  return { ...real, openSession };
});

const wasm: Choice = { device: 'wasm', threads: 1, isolated: false, forced: false };
const side = tinyBuild.sizes!.imageSize!;
const rows = Array.from({ length: 12 }, (_, i) => ({
  qid: `${i}`,
  imageId: `image${i % 5}`,
  question: ['is it large?', 'where is it?', 'is there a mass?'][i % 3]!,
  answer: ['yes', 'left lung', 'no'][i % 3]!,
  split: i < 10 ? ('train' as const) : ('validation' as const),
}));
const planes = new Map(
  [...new Set(rows.map((r) => r.imageId))].map((id, i) => [
    id,
    new Uint8Array(3 * side * side).map((_, n) => (n * (i + 3)) % 256),
  ]),
);

let run: string;
let plain: Awaited<ReturnType<typeof trained>>;
beforeAll(async () => {
  run = join(temporaryFolder(), 'tiny');
  emitVariant({ ...tinyBuild, placement: 'F/P/P', selfContained: true }, run);
  plain = await trained(wasm);
}, 60_000);

async function trained(choice: Choice) {
  const source: RunSource = {
    name: run,
    find: async (file) =>
      existsSync(join(run, file)) ? new Uint8Array(readFileSync(join(run, file))) : undefined,
    large: async (file) => new Blob([readFileSync(join(run, file))]),
  };
  const notes: Note[] = [];
  const manifest = await readManifest(source);
  const weights = await readWeights(source, manifest);
  const options = { onNote: (note: Note) => notes.push(note) };
  const model = new Model(source, manifest, loadTokenizer(), weights, choice, options);
  const job = { rows, planes, options: { ...tuneDefaults, batchSize: 4, epochs: 2 } };
  const events: TuneEvent[] = [];
  const tuning = new Tuning(model, job, firstCheckpoint(await model.trained()), (e) => events.push(e));
  try {
    await tuning.open();
    while (!tuning.isOver) await tuning.step();
  } finally {
    await tuning.release();
    await model.dispose();
  }
  const losses = events.flatMap((e) => (e.type === 'step' ? [e.loss] : []));
  return { losses, notes, checkpoint: tuning.checkpoint(), device: model.device.device };
}

// 1: in the frozen features; 20: in the steps, behind the answers before them
test.each([-1, 1, 20])('a card that lasts %i runs', async (left) => {
  expect(plain.losses).toHaveLength(6);
  expect(plain.notes).toEqual([]);
  card.left = left;
  const { losses, notes, checkpoint, device } = await trained({ ...wasm, device: 'webgpu' });
  expect(losses).toEqual(plain.losses);
  expect(notes).toEqual(['device-lost']);
  expect(device).toBe('wasm');
  expect([...bestValues(checkpoint)]).toEqual([...bestValues(plain.checkpoint)]);
});

test('a card that was asked for by name is not replaced', async () => {
  card.left = 3;
  await expect(trained({ ...wasm, device: 'webgpu', forced: true })).rejects.toThrow(/device is lost/);
});

test('the best evaluation is what a checkpoint gives', () => {
  const { checkpoint } = plain;
  expect(checkpoint.best?.step).toBeGreaterThan(0);
  expect(bestValues(checkpoint)).toBe(checkpoint.best?.values);
});
