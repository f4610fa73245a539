/** @file This program's part of `npm run bench:peers`: commands arrive as JSON lines, replies leave as JSON lines. */
import { createInterface } from 'node:readline';
import { adamWDefaults } from '../../../runtime/core/adamw.js';
import { distinctImages } from '../../../runtime/core/batch.js';
import { epochOrder } from '../../../runtime/core/sampler.js';
import { type Feeds, float32, floats } from '../../../runtime/core/session.js';
import { INITIAL_LOSS_SCALE } from '../../../runtime/core/trainer.js';
import { loadData, tokenise } from '../../../runtime/node/data.js';
import { openTrainer } from '../../../runtime/node/devices/open-trainer.js';
import { openGraph, openRun } from '../../../runtime/node/inference.js';
import { memoryForm } from '../../../runtime/node/training/memory-form.js';
import { type TrainOptions, trainDefaults } from '../../../runtime/node/training/options.js';
import { VqaTask } from '../../../runtime/node/training/vqa-task.js';
import { initialTensors } from '../../../training-artifacts/checkpoint/checkpoint.js';
import { type GraphRole, type Manifest, readManifest } from '../../../training-artifacts/graphs/manifest.js';
import { float32Tensor, writeSafetensors } from '../../../training-artifacts/weights/safetensors-file.js';
import { imageOfQuestion, type SyntheticSize, syntheticBatch, writePeerBatch } from './batch.js';

interface Command {
  readonly run: string;
  readonly options: Partial<TrainOptions>;
  /** instead of questions of the data set */
  readonly synthetic?: SyntheticSize;
}

interface Prepare extends Command {
  readonly batchFile: string;
  readonly adaptersFile: string;
}

interface Open extends Command {
  /** what will be measured: training steps, or answers */
  readonly work: 'step' | 'answer';
  readonly place: Place;
}

/** Of a batch in a training. */
interface Place {
  readonly epoch: number;
  readonly index: number;
}

interface Opened {
  readonly once: () => Promise<object>;
  release(): Promise<void>;
}

/** Epochs to look through for a batch with as many images as the row says. */
const MOST_EPOCHS = 500;

/** What `work` does once, ready to be timed. */
let measured: Opened | undefined;

const optionsOf = (given: Partial<TrainOptions>): TrainOptions => ({
  ...trainDefaults,
  evalEvery: 0,
  ...given,
});

/** The first batch that has as many images as the row says. */
async function findBatch({ options: given }: Command, manifest: Manifest): Promise<Place> {
  const options = optionsOf(given);
  const { batchSize, questionsPerImage, seed, limit } = options;
  const { train } = await loadData(options);
  const { samples } = tokenise(train.slice(0, limit ?? undefined), manifest);
  const images = batchSize / questionsPerImage;
  for (let epoch = 0; epoch < MOST_EPOCHS; epoch++) {
    const order = epochOrder(samples, questionsPerImage, seed, epoch);
    for (let index = 0; (index + 1) * batchSize <= order.length; index++) {
      const batch = order.slice(index * batchSize, (index + 1) * batchSize);
      if (distinctImages(batch).length === images) return { epoch, index };
    }
  }
  throw new Error(`internal: no batch has ${batchSize} questions on ${images} images`);
}

/** The batch with all its pixels, as a run without the frozen cut takes it. */
async function wholeBatch(command: Command, manifest: Manifest, { epoch, index }: Place): Promise<Feeds> {
  const { run, options, synthetic } = command;
  if (synthetic) return syntheticBatch(synthetic, manifest.config);
  const task = await VqaTask.open(run, manifest, optionsOf({ ...options, cut: 'none' }));
  await task.load(() => {});
  const { microBatches } = await task.batch(epoch, index);
  await task.close();
  return microBatches[0]!;
}

/** Where batches come from, as the row's options say: with the frozen cut from its cache. */
async function batchSource({ run, options, synthetic, place }: Open, manifest: Manifest) {
  if (synthetic) {
    const feeds = syntheticBatch(synthetic, manifest.config);
    return { role: 'training' as GraphRole, batch: async () => [feeds], close: async () => {} };
  }
  const task = await VqaTask.open(run, manifest, optionsOf(options));
  await task.load(() => {});
  return {
    role: task.role,
    batch: async () => (await task.batch(place.epoch, place.index)).microBatches,
    close: () => task.close(),
  };
}

async function trainingStep(command: Open, manifest: Manifest): Promise<Opened> {
  const { run } = command;
  const options = optionsOf(command.options);
  const source = await batchSource(command, manifest);
  const { trainer, release } = await openTrainer({
    run,
    manifest,
    role: source.role,
    device: 'cpu',
    prepacking: memoryForm(manifest, source.role, options) === 'packed',
    ...(options.threads && { threads: options.threads }),
    tensors: initialTensors(run, manifest),
    options: { ...adamWDefaults, weightDecay: options.weightDecay, clip: options.clip },
    state: { step: 0, lossScale: INITIAL_LOSS_SCALE },
  });
  return {
    once: async () => ({ loss: (await trainer.step(await source.batch(), options.lr)).loss }),
    release: async () => {
      await release();
      await source.close();
    },
  };
}

/** Answers to all questions of the batch, an image encoded once. */
async function answers(command: Open, manifest: Manifest): Promise<Opened> {
  const feeds = await wholeBatch(command, manifest, command.place);
  const { answerer } = await openRun(command.run, 'base', command.options.threads ?? undefined);
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
  const once = async () => {
    const beams = await answerer.answer(await answerer.encodeImages(images), questions);
    return { answers: beams.map((each) => each[0]!.ids) };
  };
  return { once, release: async () => {} };
}

const commands = {
  /** Writes batch and adapters for the peer; the loss without dropout shows that both do the same work. */
  async prepare(command: Prepare) {
    const { run, batchFile, adaptersFile, options } = command;
    const manifest = readManifest(run);
    const place = command.synthetic ? { epoch: 0, index: 0 } : await findBatch(command, manifest);
    const feeds = await wholeBatch(command, manifest, place);
    writePeerBatch(batchFile, feeds);
    const initial = initialTensors(run, manifest);
    const added = manifest.trainable.filter((t) => t.added).map(({ name }) => name);
    const adapters = added.map((name) => {
      const { shape, value } = initial.get(name)!;
      return [name, float32Tensor(shape, value)] as const;
    });
    writeSafetensors(adaptersFile, new Map(adapters));
    const evaluation = await openGraph(run, manifest, 'evaluation', { threads: options.threads });
    const weights = Object.fromEntries([...initial].map(([n, t]) => [n, float32(t.value, t.shape)]));
    const { loss } = await evaluation.run({ ...feeds, ...weights }, ['loss']);
    await evaluation.release();
    return { loss: floats(loss)[0]!, trainable: manifest.parameters.trainable, place };
  },

  /** Makes ready what `run` does; what was opened before is released. */
  async open(command: Open) {
    await measured?.release();
    const manifest = readManifest(command.run);
    measured = await (command.work === 'step' ? trainingStep : answers)(command, manifest);
    return {};
  },

  async run() {
    const started = performance.now();
    const result = await measured!.once();
    return { ms: performance.now() - started, ...result };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: name, ...command } = JSON.parse(line) as { do: keyof typeof commands } & Prepare & Open;
  console.log(JSON.stringify(await commands[name](command)));
}
