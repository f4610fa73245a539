/** @file This program's part of `npm run bench:peers`: commands arrive as JSON lines, replies leave as JSON lines. */
import { createInterface } from 'node:readline';
import { adamWDefaults } from '../../../runtime/core/adamw.js';
import { type Feeds, float32, floats } from '../../../runtime/core/session.js';
import { INITIAL_LOSS_SCALE } from '../../../runtime/core/trainer.js';
import { openTrainer } from '../../../runtime/node/devices/open-trainer.js';
import { openGraph, openRun } from '../../../runtime/node/inference.js';
import { memoryForm } from '../../../runtime/node/training/memory-form.js';
import { type TrainOptions, trainDefaults } from '../../../runtime/node/training/options.js';
import { VqaTask } from '../../../runtime/node/training/vqa-task.js';
import { initialTensors } from '../../../training-artifacts/checkpoint/checkpoint.js';
import { type Manifest, readManifest } from '../../../training-artifacts/graphs/manifest.js';
import { imageOfQuestion, writePeerBatch } from './batch.js';

interface Open {
  readonly run: string;
  readonly options: Partial<TrainOptions>;
  readonly batchFile: string;
  /** what will be measured: training steps, or answers */
  readonly work: 'step' | 'answer';
}

/** What `work` does once, ready to be timed. */
let measured: (() => Promise<object>) | undefined;

/** The first batch with all its pixels, as a run without the frozen cut takes it. */
async function wholeBatch(run: string, manifest: Manifest, options: TrainOptions): Promise<Feeds> {
  const task = await VqaTask.open(run, manifest, { ...options, cut: 'none' });
  await task.load(() => {});
  return (await task.batch(0, 0)).microBatches[0]!;
}

async function trainingStep(run: string, manifest: Manifest, options: TrainOptions) {
  const task = await VqaTask.open(run, manifest, options);
  await task.load(() => {});
  const { trainer } = await openTrainer({
    run,
    manifest,
    role: task.role,
    device: 'cpu',
    prepacking: memoryForm(manifest, options) === 'packed',
    ...(options.threads && { threads: options.threads }),
    tensors: initialTensors(run, manifest),
    options: { ...adamWDefaults, weightDecay: options.weightDecay, clip: options.clip },
    state: { step: 0, lossScale: INITIAL_LOSS_SCALE },
  });
  return async () => {
    const { microBatches } = await task.batch(0, 0);
    const { loss } = await trainer.step(microBatches, options.lr);
    return { loss };
  };
}

/** Answers to all questions of the batch, an image encoded once. */
async function answers(run: string, manifest: Manifest, feeds: Feeds, threads: number | null) {
  const { answerer } = await openRun(run, 'base', threads ?? undefined);
  const pixels = feeds.pixel_values!;
  const size = 3 * manifest.config.imageSize ** 2;
  const images = Array.from({ length: pixels.dims[0]! }, (_, i) =>
    (pixels.data as Float32Array).subarray(i * size, (i + 1) * size),
  );
  const { data: ids, dims } = feeds.question_ids!;
  const mask = feeds.question_mask!.data as Int32Array;
  const tokens = dims[1]!;
  const questions = imageOfQuestion(feeds).map((image, q) => ({
    image,
    ids: [...(ids as Int32Array).subarray(q * tokens, (q + 1) * tokens)].filter(
      (_, t) => mask[q * tokens + t],
    ),
  }));
  return async () => {
    const beams = await answerer.answer(await answerer.encodeImages(images), questions);
    return { answers: beams.map((each) => each[0]!.ids) };
  };
}

const commands = {
  /** Writes the batch for the peer; the loss without dropout shows that both do the same work. */
  async open({ run, options, batchFile, work }: Open) {
    const manifest = readManifest(run);
    const chosen: TrainOptions = { ...trainDefaults, evalEvery: 0, ...options };
    const feeds = await wholeBatch(run, manifest, chosen);
    writePeerBatch(batchFile, feeds);
    const evaluation = await openGraph(run, manifest, 'evaluation', chosen.threads ?? undefined);
    const weights = Object.fromEntries(
      [...initialTensors(run, manifest)].map(([n, t]) => [n, float32(t.value, t.shape)]),
    );
    const { loss } = await evaluation.run({ ...feeds, ...weights }, ['loss']);
    await evaluation.release();
    measured =
      work === 'step'
        ? await trainingStep(run, manifest, chosen)
        : await answers(run, manifest, feeds, chosen.threads);
    return { loss: floats(loss)[0]!, trainable: manifest.parameters.trainable };
  },

  async run() {
    const started = performance.now();
    const result = await measured!();
    return { ms: performance.now() - started, ...result };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: name, ...command } = JSON.parse(line) as { do: keyof typeof commands } & Open;
  console.log(JSON.stringify(await commands[name](command)));
}
