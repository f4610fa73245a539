/** @file A question to a model at full size in the browser: download, memory, and the times of each stage. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { loadVqaRad } from '../../../datasets/vqa-rad.js';
import { loadModel } from '../../../runtime/node/index.js';
import { readJson } from '../../../training-artifacts/files.js';
import type { WebManifest } from '../../../training-artifacts/graphs/export-web.js';
import type { Row } from '../table.js';
import { runBin } from './programs.js';
import { memoryColumns, openTab, problemsOf } from './tab.js';

/** The longest wait for anything, ms. */
const PATIENCE = 900_000;

/** Seconds until the page shows what is waited for; its errors end the wait. */
export async function secondsUntil(page: Page, shown: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await Promise.race([shown(), problemsOf(page)]);
  return (performance.now() - started) / 1000;
}

async function askOnPage(page: Page, question: string, count: number): Promise<number> {
  await page.fill('#question', question);
  const asked = page.locator('.question button.main, .question button').last();
  return secondsUntil(page, async () => {
    await asked.click();
    await page.waitForFunction(
      (n) =>
        document.querySelectorAll('.history li').length +
          document.querySelectorAll('.answers .answer').length >=
        n,
      count,
      { timeout: PATIENCE },
    );
  });
}

const shownAnswer = (page: Page) =>
  page.locator('.answers .answer').evaluate((card) => ({
    answer: card.querySelector('.big')!.textContent!.trim(),
    probability: Number(card.querySelector<HTMLElement>('[data-value]')!.dataset.value),
  }));

/** Exports the run in one form, opens it in a fresh browser, asks twice and compares with Node. */
async function measureForm(run: string, folder: string, form: 'none' | 'fp16' | 'int8'): Promise<Row> {
  const out = join(folder, `answer-${form}`);
  const skip = form === 'int8' ? ['--int8-skip', 'none'] : [];
  const flags = ['export-web', run, '--out', out, '--quantize', form, '--no-score', '--overwrite', ...skip];
  await runBin('ort-weights', flags);
  const web = readJson(join(out, 'web.json')) as WebManifest;
  const rad = loadVqaRad();
  const { imageId, question } = rad.questions[0]!;
  const tab = await openTab([out]);
  try {
    const { page } = tab;
    await page.getByRole('button', { name: 'Download the model' }).click();
    const download = await secondsUntil(page, () =>
      page.getByText('Preparing the model').waitFor({ timeout: PATIENCE }),
    );
    const compile = await secondsUntil(page, () =>
      page.getByText('Preparing the model').waitFor({ state: 'detached', timeout: PATIENCE }),
    );
    await page.setInputFiles('input[accept*=image]', rad.imagePath(imageId));
    await page.locator('figcaption', { hasText: imageId }).waitFor();
    const first = await askOnPage(page, question, 1);
    const second = await askOnPage(page, `${question} `, 2);
    const here = await shownAnswer(page);
    const memory = memoryColumns(await tab.memory());
    await tab.close();
    const model = await loadModel(out);
    const there = await model.answer(rad.imagePath(imageId), question);
    await model.dispose();
    return {
      weights: form,
      'download MB': web.bytes / 1e6,
      'download s': download,
      'compile s': compile,
      'answer s': first,
      'again s': second,
      ...memory,
      'as in Node': here.answer === (there.answer || '(no answer)') ? 'yes' : `no: ${there.answer}`,
      'probability off': Math.abs(here.probability - there.probability).toExponential(1),
    };
  } finally {
    await tab.close();
    rmSync(out, { recursive: true, force: true });
  }
}

/** One row a form of the weights. */
export async function answerSection(run: string, folder: string, forms: readonly string[]): Promise<Row[]> {
  const rows: Row[] = [];
  for (const form of forms) rows.push(await measureForm(run, folder, form as 'none' | 'fp16' | 'int8'));
  return rows;
}
