/** @file Training with the frozen cut: the losses of training without, from a cold, a warm and a damaged cache. */
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Answerer } from '../../../../runtime/core/answerer.js';
import { floats } from '../../../../runtime/core/session.js';
import { imagePaths, type LoadedData, loadData } from '../../../../runtime/node/data.js';
import { ImageStore } from '../../../../runtime/node/images.js';
import { openInference } from '../../../../runtime/node/inference.js';
import type { TrainingEvent } from '../../../../runtime/node/training/events.js';
import { FrozenInputs } from '../../../../runtime/node/training/frozen-inputs.js';
import { runTraining } from '../../../../runtime/node/training/job.js';
import type { TrainOptions } from '../../../../runtime/node/training/options.js';
import { writeJson } from '../../../../training-artifacts/files.js';
import { emitVariant } from '../../../../training-artifacts/graphs/emit.js';
import { readManifest } from '../../../../training-artifacts/graphs/manifest.js';
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
    evaluations: events.filter((e) => e.type === 'evaluation'),
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

describe('validation', () => {
  const run = built('lora-r2', 'F/P/P');
  const options = { ...tinyTraining, epochs: 1, evalEvery: 1 };
  type Trained = Awaited<ReturnType<typeof train>>;
  const expectSame = (found: Trained['evaluations'], plain: Trained['evaluations']) => {
    expect(found).toHaveLength(2);
    found.forEach(({ loss, accuracy, yesNo, notYesNo }, i) => {
      const whole = plain[i]!;
      expect([accuracy, yesNo, notYesNo]).toEqual([whole.accuracy, whole.yesNo, whole.notYesNo]);
      expect(Math.abs(loss! - whole.loss!) / whole.loss!).toBeLessThan(1e-5);
    });
  };
  let data: LoadedData;
  let plain: Trained;
  beforeAll(async () => {
    data = await loadData({ data: 'vqa-rad', split: 'official', frame: false });
    plain = await train(run, { ...options, cut: 'none' });
  });

  test.each(['vit', 'kv'] as const)('has the numbers of whole images at --cut %s', async (cut) => {
    rmSync(join(cache, 'features'), { recursive: true, force: true });
    const { evaluations, notes } = await train(run, { ...options, cut });
    expectSame(evaluations, plain.evaluations);
    if (cut === 'kv') return; // what is trained on lies in another group
    const asked = [...data.train.slice(0, options.limit!), ...data.validation].map((q) => q.imageId);
    expect(readdirSync(/read from (\S+)/.exec(notes)![1]!)).toHaveLength(new Set(asked).size);
  });

  test('of a run that was built without the graph for it encodes whole images', async () => {
    const old = copyOf(run);
    const { graphs, ...manifest } = readManifest(old);
    const { evaluationVit, ...others } = graphs;
    expect(evaluationVit!.file).toBe('eval_cut_model.onnx');
    writeJson(join(old, 'manifest.json'), { ...manifest, graphs: others });
    expectSame((await train(old, { ...options, cut: 'vit' })).evaluations, plain.evaluations);
  });

  test('answers with the image encoder’s own states', async () => {
    const manifest = readManifest(run);
    const { config, image } = manifest;
    const ids = [...new Set(data.validation.map((q) => q.imageId))].slice(0, 5);
    const images = new ImageStore(config.imageSize, image.normalisation);
    await images.load(imagePaths(data.dataset, data.validation));
    const inputs = await FrozenInputs.open(run, manifest, 'vit', options, images);
    const kept = await inputs.imageStates(ids);
    const answerer = new Answerer(await openInference(run, manifest, 1), config, {});
    const own = await answerer.encodeImages(await Promise.all(ids.map((id) => images.pixelValues(id))));
    expect(kept.dims).toEqual(own.dims);
    const [a, b] = [floats(kept), floats(own)];
    expect(Math.max(...a.map((v, i) => Math.abs(v - b[i]!)))).toBeLessThan(1e-5);
    expect(Math.max(...b)).toBeGreaterThan(0.1);
    await images.close();
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
