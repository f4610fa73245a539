/** @file Training with the frozen cut: the losses of training without, from a cold, a warm and a damaged cache. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TrainingEvent } from '../../../../runtime/node/training/events.js';
import { runTraining } from '../../../../runtime/node/training/job.js';
import type { TrainOptions } from '../../../../runtime/node/training/options.js';
import { emitVariant } from '../../../../training-artifacts/graphs/emit.js';
import { copyOf, temporaryFolder, tinySizes, tinyTraining } from '../runs.js';

const cache = temporaryFolder();
let before: string | undefined;
beforeAll(() => {
  before = process.env.MILE_ORT_CACHE;
  process.env.MILE_ORT_CACHE = cache;
});
afterAll(() => {
  if (before === undefined) delete process.env.MILE_ORT_CACHE;
  else process.env.MILE_ORT_CACHE = before;
});

async function train(run: string, options: Partial<TrainOptions>) {
  const events: TrainingEvent[] = [];
  const job = { run: copyOf(run), resume: false, options: { ...tinyTraining, ...options } };
  await runTraining(
    job,
    (e) => events.push(e),
    async () => false,
  );
  const start = events.find((e) => e.type === 'start')!;
  return {
    losses: events.filter((e) => e.type === 'step').map((e) => e.loss),
    notes: start.notes.join('\n'),
  };
}

const built = (variant: string, placement: string, extra: object = {}): string => {
  const run = join(temporaryFolder(), 'run');
  emitVariant(
    { preset: 'miss-tiny', sizes: tinySizes, weights: 'random', variant, placement, ...extra },
    run,
  );
  return run;
};

describe.each([
  ['lora-r2', 'F/P/P', ['vit', 'kv']],
  ['prefix-n4', 'F/P/P', ['kv']],
  ['ia3', 'F/F/P', ['vit', 'kv']],
] as const)('%s at %s', (variant, placement, levels) => {
  const run = built(variant, placement);
  let plain: number[];
  beforeAll(async () => {
    plain = (await train(run, { cut: 'none' })).losses;
  });

  test.each(levels)('--cut %s', async (cut) => {
    const close = (losses: number[]) =>
      losses.forEach((loss, i) => {
        expect(Math.abs(loss - plain[i]!) / plain[i]!).toBeLessThan(1e-5);
      });
    const cold = await train(run, { cut });
    expect(cold.notes).toContain(`--cut ${cut}`);
    expect(cold.losses).toHaveLength(10);
    close(cold.losses);
    expect((await train(run, { cut })).losses).toEqual(cold.losses); // warm
    const features = join(cache, 'features');
    for (const group of readdirSync(features))
      for (const entry of readdirSync(join(features, group)))
        writeFileSync(join(features, group, entry), 'x');
    close((await train(run, { cut })).losses); // damaged
  });

  test('several questions on an image in one batch', async () => {
    const grouped = { questionsPerImage: 3, batchSize: 6 };
    const { losses } = await train(run, { ...grouped, cut: 'kv' });
    const { losses: whole } = await train(run, { ...grouped, cut: 'none' });
    losses.forEach((loss, i) => {
      expect(Math.abs(loss - whole[i]!) / whole[i]!).toBeLessThan(1e-5);
    });
  });

  test('what does not fit the cache is computed each time', async () => {
    const { losses } = await train(run, { cut: 'vit', cacheGb: 0 });
    losses.forEach((loss, i) => {
      expect(Math.abs(loss - plain[i]!) / plain[i]!).toBeLessThan(1e-5);
    });
  });
});

test.each([
  ['a trained image encoder', 'T/P/P', {}, {}, 'no module is frozen'],
  // drop path starts at the second layer
  [
    'dropout in frozen modules',
    'F/P/P',
    { referenceDropout: true, sizes: { ...tinySizes, visionLayers: 2 } },
    {},
    'free of dropout',
  ],
  ['augmentation', 'F/P/P', {}, { augment: true }, '--augment changes the images'],
])('%s: nothing is kept, and it is said', async (_what, placement, extra, options, note) => {
  const run = built('lora-r2', placement, extra);
  expect((await train(run, { cut: 'vit', ...options })).notes).toContain(note);
});
