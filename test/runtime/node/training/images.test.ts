/** @file How images are prepared changes no number of a training; random changes survive an interrupt. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import type { TrainOptions } from '../../../../runtime/node/training/options.js';
import { readCheckpoint, writeCheckpoint } from '../../../../training-artifacts/checkpoint/checkpoint.js';
import { readManifest } from '../../../../training-artifacts/graphs/manifest.js';
import { build, copyOf, expectSameTraining, train } from './support.js';

const changed: Partial<TrainOptions> = {
  augment: true,
  augmentRotate: 7,
  augmentCrop: 0.1,
  augmentFlip: true,
};
/** Room for three images of 32 x 32. */
const LITTLE = { imageMemoryGb: (3.5 * 3 * 32 * 32) / 1e9 };
let run: string;
let reference: string;

beforeAll(async () => {
  run = build();
  reference = copyOf(run);
  await train(reference, { options: { ...changed, imageThreads: 0 } });
});

test.each<[string, Partial<TrainOptions>]>([
  ['a thread', { imageThreads: 1 }],
  ['threads and little memory', { imageThreads: 2, ...LITTLE }],
  ['little memory', { imageThreads: 0, ...LITTLE }],
])('%s: bit by bit the same training', async (_, options) => {
  const own = copyOf(run);
  const events = await train(own, { options: { ...changed, ...options } });
  expectSameTraining(own, reference);
  const start = events.find((e) => e.type === 'start')!;
  expect(start.notes.some((note) => note.includes('--image-memory-gb'))).toBe('imageMemoryGb' in options);
});

test('each step says how long it waited for images', async () => {
  const lines = readFileSync(join(reference, 'log', 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n');
  for (const line of lines) {
    const { waitMs, seconds } = JSON.parse(line) as { waitMs: number; seconds: number };
    expect(waitMs).toBeGreaterThan(0); // the trainer itself prepared them
    expect(waitMs).toBeLessThanOrEqual(1000 * seconds);
  }
});

test('an interrupted training with changed images goes on to the same numbers', async () => {
  const own = copyOf(run);
  await train(own, { interruptAt: 3, options: changed });
  await train(own, { resume: true });
  expectSameTraining(own, reference);
});

test('a checkpoint from before these options existed is resumed without changes of images', async () => {
  const [own, plain] = [copyOf(run), copyOf(run)];
  await train(plain);
  await train(own, { interruptAt: 3 });
  const { tensors, state } = readCheckpoint(own, 'last', readManifest(own));
  const later = ['augmentRotate', 'augmentCrop', 'augmentFlip', 'imageThreads', 'imageMemoryGb', 'initFrom'];
  const options = Object.fromEntries(Object.entries(state.options).filter(([key]) => !later.includes(key)));
  writeCheckpoint(own, 'last', tensors, { ...state, options });
  await train(own, { resume: true });
  expectSameTraining(own, plain);
});
