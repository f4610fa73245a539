/** @file The page of ort-serve answers as Node does, sends nothing and is usable by all. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadTokenizer } from '../../datasets/load-tokenizer.js';
import { predict } from '../../runtime/core/predict.js';
import { imagePaths, loadData, tokenise } from '../../runtime/node/data.js';
import { explainOne } from '../../runtime/node/explain.js';
import { ImageStore } from '../../runtime/node/images.js';
import { openRun } from '../../runtime/node/inference.js';
import type { Running } from '../../runtime/node/serve/server.js';
import {
  accessibilityErrors,
  askPage,
  buildRun,
  buildSmallRun,
  canRun,
  chooseImage,
  launch,
  type OpenedPage,
  openPage,
  serveRuns,
  softwareGpu,
} from './support.js';

/** All 50 with `npm run test:full`. */
const QUESTIONS = process.env.MILE_ORT_TEST === 'full' ? 50 : 20;

const { dataset, test: asked } = await loadData({ data: 'vqa-rad', split: 'official', frame: false });
const questions = asked.slice(0, QUESTIONS).sort((a, b) => (a.imageId < b.imageId ? -1 : 1));

let runs: string[];
let server: Running;
let browser: Browser;
let opened: OpenedPage;

beforeAll(async () => {
  if (!canRun) return;
  runs = [buildRun(), buildRun('lora-r8', 'T/T/P', 'trained-encoders'), buildSmallRun()];
  server = await serveRuns(runs);
  browser = await launch();
  opened = await openPage(browser, server.url);
});
afterAll(() => browser?.close());

/** What onnxruntime-node answers to the questions. */
async function nodeAnswers() {
  const { manifest, answerer } = await openRun(runs[0]!);
  const images = new ImageStore(manifest.config.imageSize, manifest.image.normalisation);
  await images.load(imagePaths(dataset, questions));
  const { samples } = tokenise(questions, manifest);
  return predict(answerer, samples, (id) => images.pixelValues(id), { tokenizer: loadTokenizer() });
}

describe.skipIf(!canRun)('the page', () => {
  test('says the size before it downloads anything large', async () => {
    const { page, requests } = opened;
    await page.getByText(/42 MB, once/).waitFor();
    expect(requests.some(({ url }) => url.includes('/weights/'))).toBe(false);
  });

  test(`gives Node's answers to ${QUESTIONS} test questions, probabilities to 1e-3`, async () => {
    const { page } = opened;
    const expected = await nodeAnswers();
    let image = '';
    for (const [i, { imageId, question }] of questions.entries()) {
      if (imageId !== image) await chooseImage(page, imageId);
      image = imageId;
      const [given] = await askPage(page, question);
      expect(given!.answer, question).toBe(expected[i]!.answer || '(no answer)');
      expect(Math.abs(given!.probability - expected[i]!.probability), question).toBeLessThan(1e-3);
    }
  }, 120_000);

  test('two models answer side by side, the second without a second download', async () => {
    const { page, requests } = opened;
    const before = requests.filter(({ url }) => url.includes('/weights/')).length;
    await page.getByLabel('Compare with a second model').check();
    const answers = await askPage(page, 'is this a chest x-ray?');
    expect(answers).toHaveLength(2);
    await page.getByLabel('Compare with a second model').uncheck();
    expect(requests.filter(({ url }) => url.includes('/weights/')).length).toBe(before);
  });

  test("a heat map, with Node's deletion test below it", async () => {
    const { page } = opened;
    const { imageId, question } = questions[0]!;
    await chooseImage(page, imageId);
    await askPage(page, question);
    await page.getByRole('button', { name: 'Where does the answer come from?' }).click();
    const figure = page.locator('figure.heat');
    await figure.waitFor({ timeout: 90_000 });
    const said = await figure.locator('figcaption').innerText();
    const lost = /costs (-?[\d.]+)\s?%/.exec(said.replace('−', '-'))?.[1];
    const run = await openRun(runs[0]!);
    const images = new ImageStore(run.manifest.config.imageSize, run.manifest.image.normalisation);
    await images.load(imagePaths(dataset, [questions[0]!]));
    const { samples } = tokenise([questions[0]!], run.manifest);
    const pixels = await images.pixelValues(imageId);
    const options = { tokenizer: loadTokenizer() };
    const [found] = await predict(run.answerer, samples, () => pixels, options);
    const asked = { questionIds: samples[0]!.questionIds, answerIds: found!.answerIds };
    const deletion = { share: 0.2, draws: 20, seed: 0 };
    const expected = await explainOne(runs[0]!, run, pixels, asked, deletion);
    expect(Number(lost)).toBeCloseTo(100 * expected.deletion.gradient.lost, 0);
    expect(
      await figure.locator('img').evaluate((img) => (img as HTMLImageElement).naturalWidth),
    ).toBeGreaterThan(100);
  }, 120_000);

  test('the notice stands beside every answer and on top, in both languages', async () => {
    const { page } = opened;
    expect(await page.getByText('Not a medical device').count()).toBeGreaterThanOrEqual(3); // top, answer, history
    await page.getByLabel('Language').selectOption('de');
    expect(await page.getByText('Kein Medizinprodukt').count()).toBeGreaterThanOrEqual(3);
    expect(await page.evaluate(() => document.documentElement.lang)).toBe('de');
    await page.getByLabel('Sprache').selectOption('en');
  });

  test('no request leaves the origin, and all of them only read', () => {
    const { requests, errors } = opened;
    const origin = new URL(server.url).origin;
    const away = requests.filter(({ url }) => !/^(blob|data):/.test(url) && new URL(url).origin !== origin);
    expect(away).toEqual([]);
    expect(requests.filter(({ method }) => method !== 'GET')).toEqual([]);
    expect(errors).toEqual([]);
  });

  test('the main thread is never busy for 100 ms while answering', async () => {
    const { page } = opened;
    await page.evaluate(() => {
      const longest = { ms: 0 };
      Object.assign(globalThis, { longest });
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) longest.ms = Math.max(longest.ms, entry.duration);
      }).observe({ type: 'longtask' });
    });
    await askPage(page, 'is there a fracture?');
    expect(await page.evaluate('longest.ms')).toBeLessThan(100);
  });

  test('a question and its answer work with the keyboard alone', async () => {
    const { page } = opened;
    await page.focus('#question');
    await page.keyboard.press('Control+A');
    await page.keyboard.type('which organ is shown?');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'which organ is shown?' }).waitFor({ timeout: 20_000 });
  });

  test.each([
    ['light', 1200],
    ['dark', 1200],
    ['light', 360],
    ['dark', 360],
  ] as const)('axe finds nothing: %s, %i pixels wide', async (colorScheme, width) => {
    const { page } = opened;
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 800 });
    for (const tab of ['Ask', 'Fine-tune']) {
      await page.getByRole('navigation').getByRole('button', { name: tab }).click();
      expect(await accessibilityErrors(page)).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
    }
    await page.getByRole('navigation').getByRole('button', { name: 'Ask' }).click();
  });
});

describe.skipIf(!canRun)('on WebGPU, by software', () => {
  test('answers are those of WebAssembly', async () => {
    const withGpu = await launch(softwareGpu);
    try {
      const { page } = await openPage(withGpu, `${server.url}?device=webgpu`);
      await expect.poll(() => page.locator('[data-device]').getAttribute('data-device')).toBe('webgpu');
      await opened.page.setViewportSize({ width: 1200, height: 850 });
      const { imageId, question } = questions[0]!;
      const answers = [];
      for (const which of [page, opened.page]) {
        await which
          .getByRole('combobox', { name: 'Model', exact: true })
          .selectOption({ label: 'small (not fine-tuned)' });
        await chooseImage(which, imageId);
        answers.push((await askPage(which, question))[0]!);
      }
      const [onGpu, onCpu] = answers;
      expect(onGpu!.answer).toBe(onCpu!.answer);
      expect(Math.abs(onGpu!.probability / onCpu!.probability - 1)).toBeLessThan(1e-3);
      expect(await page.locator('[data-device]').getAttribute('data-device')).toBe('webgpu');
    } finally {
      await withGpu.close();
    }
  }, 120_000);
});
