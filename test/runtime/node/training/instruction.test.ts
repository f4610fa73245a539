/** @file Training on instruction data: a wording drawn at each visit, its features kept by wording. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { instruct } from '../../../../datasets/instruct/build.js';
import { loadSplit } from '../../../../datasets/split-file.js';
import { encId, sepId } from '../../../../datasets/tokenizer.js';
import { loadVqaRad } from '../../../../datasets/vqa-rad.js';
import type { Sample } from '../../../../runtime/core/batch.js';
import { drawWording } from '../../../../runtime/core/sampler.js';
import { ImageStore } from '../../../../runtime/node/images.js';
import { FrozenInputs } from '../../../../runtime/node/training/frozen-inputs.js';
import type { TrainOptions } from '../../../../runtime/node/training/options.js';
import { VqaTask } from '../../../../runtime/node/training/vqa-task.js';
import { emitVariant } from '../../../../training-artifacts/graphs/emit.js';
import { readManifest } from '../../../../training-artifacts/graphs/manifest.js';
import { expectMessage, runProgram, tinyBuild, tinyFlags, tinyTraining } from '../runs.js';
import { copyOf, expectSameTraining, folder, train } from './support.js';

const rad = loadVqaRad();
const file = join(folder, 'instruct.json');
const data: Partial<TrainOptions> = { data: file, imageRoot: rad.imagePath('x').slice(0, -2) };
let run: string;

beforeAll(() => {
  process.env.MILE_ORT_CACHE = join(folder, 'cache');
  const qids = new Set(loadSplit(rad, 'official').train.slice(0, 40));
  const { rows } = instruct(
    rad.questions.filter((q) => qids.has(q.qid)),
    { options: 4, seed: 0 },
  );
  writeFileSync(file, JSON.stringify(rows));
  run = join(folder, 'long');
  emitVariant({ ...tinyBuild, maxQuestionTokens: 128 }, run);
});

test('a wording is drawn by seed, epoch and qid alone, each about as often', () => {
  const wordings = [[1], [2], [3], [4], [5]];
  const samples = Array.from(
    { length: 400 },
    (_, i): Sample => ({ qid: `${i}`, imageId: 'a', questionIds: [0], answerIds: [], wordings }),
  );
  const counts = new Map<number, number>();
  for (const sample of samples)
    for (let epoch = 0; epoch < 5; epoch++) {
      const drawn = drawWording(sample, 0, epoch).questionIds[0]!;
      expect(drawWording({ ...sample }, 0, epoch).questionIds[0]).toBe(drawn);
      counts.set(drawn, (counts.get(drawn) ?? 0) + 1);
    }
  // 2000 draws of 5: chi-squared with 4 degrees of freedom, 99.9%
  expect([...counts.values()].reduce((sum, n) => sum + (n - 400) ** 2 / 400, 0)).toBeLessThan(18.5);
  const other = samples.filter((s) => drawWording(s, 1, 0).questionIds !== drawWording(s, 0, 0).questionIds);
  expect(other.length).toBeGreaterThan(250);
});

test('batches hold wordings in training, and other ones in another epoch; sooner or later each', async () => {
  const task = await VqaTask.open(run, readManifest(run), {
    ...tinyTraining,
    ...data,
    imageThreads: 0,
    cut: 'none',
  });
  await task.load(() => {});
  const questions = async (epoch: number) => {
    const seen = new Map<string, string>();
    for (let at = 0; at * tinyTraining.batchSize < task.size; at++) {
      const { microBatches, ids } = await task.batch(epoch, at);
      const { data: tokens, dims } = microBatches[0]!.question_ids!;
      ids.forEach((qid, row) => {
        seen.set(
          qid,
          (tokens as Int32Array)
            .slice(row * dims[1]!, (row + 1) * dims[1]!)
            .filter((t) => t !== 0)
            .join(),
        );
      });
    }
    return seen;
  };
  const epochs = await Promise.all(Array.from({ length: 12 }, (_, epoch) => questions(epoch)));
  for (const qid of epochs[0]!.keys())
    expect(new Set(epochs.map((e) => e.get(qid))).size).toBeGreaterThanOrEqual(3);
  expect(await questions(3)).toEqual(epochs[3]);
});

test('an interrupted training draws the same wordings', async () => {
  const [whole, stopped] = [copyOf(run), copyOf(run)];
  await train(whole, { options: data });
  await train(stopped, { options: data, interruptAt: 3 });
  await train(stopped, { resume: true });
  expectSameTraining(stopped, whole);
});

test('validation asks the original questions', async () => {
  const own = copyOf(run);
  const events = await train(own, { options: { ...data, evalEvery: 1, epochs: 1 } });
  const evaluation = events.find((e) => e.type === 'evaluation')!;
  expect(evaluation.n).toBeGreaterThan(0);
  const task = await VqaTask.open(own, readManifest(own), { ...tinyTraining, ...data });
  const { validation } = (task as unknown as { data: { validation: { question: string }[] } }).data;
  for (const { question } of validation) expect(question).not.toContain('{');
});

describe('frozen image and question encoders: features are kept by wording', () => {
  test.each(['vit', 'kv'] as const)('--cut %s gives the losses of no cut, in all epochs', async (cut) => {
    const frozen = join(folder, `frozen-${cut}`);
    emitVariant({ ...tinyBuild, placement: 'F/F/P', maxQuestionTokens: 128 }, frozen);
    const losses = async (options: Partial<TrainOptions>) =>
      (await train(copyOf(frozen), { options: { ...data, ...options, epochs: 2 } })).flatMap((e) =>
        e.type === 'step' ? [e.loss] : [],
      );
    const plain = await losses({ cut: 'none' });
    const kept = await losses({ cut });
    kept.forEach((loss, i) => {
      expect(Math.abs(loss - plain[i]!) / plain[i]!).toBeLessThan(1e-5);
    });
    expect(kept).toHaveLength(plain.length);
  });

  test('wordings of the same length have features of their own, also when they are read again', async () => {
    const frozen = join(folder, 'frozen-kv');
    const manifest = readManifest(frozen);
    const images = new ImageStore(manifest.config.imageSize, manifest.image.normalisation);
    const { imageId } = rad.questions[0]!;
    await images.load(new Map([[imageId, rad.imagePath(imageId)]]));
    const asked = (word: number): Sample => ({
      qid: '1',
      imageId,
      questionIds: [encId, word, word + 1, sepId],
      answerIds: [],
    });
    const feedsOf = async (word: number) => {
      const inputs = await FrozenInputs.open(frozen, manifest, 'kv', { ...tinyTraining, ...data }, images);
      const feeds = await inputs.feeds([asked(word)], 4);
      return manifest.cuts.kv!.features.map(({ name }) => [...(feeds[name]!.data as Float32Array)]);
    };
    const [first, second] = [await feedsOf(2000), await feedsOf(3000)];
    expect(first).not.toEqual(second);
    expect(await feedsOf(2000)).toEqual(first);
    expect(await feedsOf(3000)).toEqual(second);
  });
});

test('a run built for short questions is an error that says how to build it', async () => {
  const short = join(folder, 'short');
  emitVariant(tinyBuild, short);
  await expect(train(short, { options: data, maxSteps: 1 })).rejects.toThrow(
    /longer than the run's 35 word pieces.*--max-question-tokens 128/s,
  );
});

describe('ort-data instruct', () => {
  test('writes a file that ort-train takes', async () => {
    const cwd = folder;
    const made = await runProgram('ort-data', ['instruct', 'vqa-rad', '--out', 'all.json', '--json'], cwd);
    expect(made.stderr).toBe('');
    const { questions, longest } = JSON.parse(made.stdout) as { questions: number; longest: number };
    expect(JSON.parse(readFileSync(join(cwd, 'all.json'), 'utf8'))).toHaveLength(questions);
    expect(longest).toBeLessThanOrEqual(128);
    const flags = [
      ...tinyFlags,
      '--max-question-tokens',
      '128',
      '--data',
      'all.json',
      '--image-root',
      data.imageRoot!,
    ];
    const trained = await runProgram(
      'ort-train',
      [...flags, '--limit', '16', '--batch-size', '8', '--epochs', '1', '--eval-every', '0', '--json'],
      cwd,
    );
    expect(trained.stderr).toContain('one of the forms of a question is drawn at each visit');
    expect(JSON.parse(trained.stdout)).toMatchObject({ steps: 2, finished: true });
  });

  test.each([
    ['an option too few', ['vqa-rad', '--out', 'a.json', '--options', '1'], /--options/],
    ['more options than letters', ['vqa-rad', '--out', 'a.json', '--options', '27'], /letters end at 26/],
    ['a set that is not there', ['nothing', '--out', 'a.json'], /unknown data set/],
  ])('%s', async (_, args, message) => {
    await expectMessage('ort-data', ['instruct', ...args], message);
  });
});
