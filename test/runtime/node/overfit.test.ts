/**
 * @file 16 real questions learned by heart, from the base weights that ship: the whole training path works.
 *
 * Their answers consist of words that the base has seen. The word table is frozen with the decoder's base, so no
 * adapter can make a word likely whose row never left its random start: with the first 16 questions of the official
 * split T/T/P ends 0.74 nats a token above the floor.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { loadTokenizer } from '../../../datasets/load-tokenizer.js';
import { isSameAnswer } from '../../../datasets/scoring/normalise-answer.js';
import { predict } from '../../../runtime/core/predict.js';
import { imagePaths, loadData, tokenise } from '../../../runtime/node/data.js';
import { ImageStore } from '../../../runtime/node/images.js';
import { openRun } from '../../../runtime/node/inference.js';
import { readMetrics, smoothingFloor } from '../../../runtime/node/training/finish.js';
import { runTraining } from '../../../runtime/node/training/job.js';
import { trainDefaults } from '../../../runtime/node/training/options.js';
import { emitVariant } from '../../../training-artifacts/graphs/emit.js';

const SAMPLES = 16;
const folder = mkdtempSync(join(tmpdir(), 'mile-ort-overfit-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Trains on the first 16 questions without dropout; nats a token above the floor at the end, and right answers. */
async function overfit(placement: string, epochs: number, lr: number) {
  const run = join(folder, placement.replaceAll('/', ''));
  const manifest = emitVariant(
    {
      preset: 'miss-tiny',
      variant: 'lora-r8',
      placement,
      weights: 'pretrained',
      dropout: 0,
      moduleDropout: 0,
    },
    run,
  );
  const options = {
    ...trainDefaults,
    data: 'vqa-rad-base' as const,
    limit: SAMPLES,
    batchSize: SAMPLES,
    epochs,
    lr,
    warmupSteps: 10,
    schedule: 'cosine' as const,
    weightDecay: 0,
    evalEvery: 0,
  };
  await runTraining(
    { run, options, resume: false },
    () => {},
    async () => false,
  );
  const losses = readMetrics(run).steps.map((s) => s.loss);
  const above = (loss: number) => loss - smoothingFloor(manifest.config);
  const data = await loadData(options);
  const questions = data.train.slice(0, SAMPLES);
  const images = new ImageStore(manifest.config.imageSize, manifest.image.normalisation);
  await images.load(imagePaths(data.dataset, questions));
  const { answerer } = await openRun(run, 'last');
  const tokenizer = loadTokenizer();
  const { samples } = tokenise(questions, manifest);
  const predictions = await predict(answerer, samples, (id) => images.pixelValues(id), { tokenizer });
  const right = questions.filter((q, i) => isSameAnswer(q.answer, predictions[i]!.answer)).length;
  return { first: above(losses[0]!), last: above(losses.at(-1)!), right };
}

test('T/T/P reaches the floor of label smoothing and answers all 16', async () => {
  const { last, right } = await overfit('T/T/P', 150, 1e-3);
  expect(last).toBeLessThan(0.05);
  expect(right).toBe(SAMPLES);
}, 180_000);

// The image encoder and all base weights stay as they are: 49,152 numbers have to do it.
test('F/P/P learns, as far as it gets', async () => {
  const { first, last, right } = await overfit('F/P/P', 150, 3e-3);
  console.info(
    `F/P/P: ${first.toFixed(2)} to ${last.toFixed(2)} nats a token above the floor, ${right} of ${SAMPLES} right`,
  );
  expect(last).toBeLessThan(0.8 * first);
}, 180_000);
