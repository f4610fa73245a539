/** @file Fine-tuning in the tab: Node's losses, a reload in the middle, an adapter that Node reads. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { unzipSync } from 'fflate';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../runtime/node/index.js';
import type { Running } from '../../runtime/node/serve/server.js';
import { metricsOf, runProgram } from '../runtime/node/runs.js';
import {
  accessibilityErrors,
  askPage,
  buildRun,
  buildSmallRun,
  canRun,
  chooseImage,
  launch,
  openPage,
  rad,
  serveRuns,
  softwareGpu,
  temporaryFolder,
} from './support.js';
import { writeUserData } from './user-data.js';

const [QUESTIONS, BATCH, EPOCHS] = [40, 8, 12];
const STEPS = 60; // long enough to be paused in the middle
const COMPARED = 20;
/** Sums in another order, 20 updates long. */
const TOLERANCE = 1e-3;

let run: string;
let server: Running;
let browser: Browser;
let page: Page;

const writeData = () => writeUserData(temporaryFolder(), { train: QUESTIONS, validation: 8 });

const nodeLosses = async (): Promise<number[]> => {
  const flags = [
    '--limit',
    `${QUESTIONS}`,
    '--batch-size',
    `${BATCH}`,
    '--epochs',
    `${EPOCHS}`,
    '--eval-every',
    '0',
  ];
  const { code, stderr } = await runProgram('ort-train', ['--run', run, ...flags], temporaryFolder());
  expect(code, stderr).toBe(0);
  return metricsOf(run).map(({ loss }) => loss as number);
};

/** The training's log as the browser keeps it. */
const keptSteps = async (of: Page = page): Promise<number[]> => {
  const log = (await of.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const opening = indexedDB.open('mile-ort-training');
        opening.onerror = () => reject(opening.error);
        opening.onsuccess = () => {
          const asked = opening.result.transaction('kept').objectStore('kept').get('state');
          asked.onsuccess = () => resolve(asked.result.log);
        };
      }),
  )) as { type: string; step: number; loss: number }[];
  const steps = log.filter(({ type }) => type === 'step');
  expect(steps.map(({ step }) => step)).toEqual(steps.map((_, i) => i + 1));
  return steps.map(({ loss }) => loss);
};

const button = (name: string) => page.getByRole('button', { name, exact: true });
const openTab = () => page.getByRole('navigation').getByRole('button', { name: 'Fine-tune' }).click();

beforeAll(async () => {
  if (!canRun) return;
  run = buildRun();
  server = await serveRuns([run]);
  browser = await launch();
  ({ page } = await openPage(browser, server.url, { acceptDownloads: true }));
});
afterAll(() => browser?.close());

describe.skipIf(!canRun)('fine-tuning in the tab', () => {
  test('a table that lacks a column is refused with the columns that there are', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'bad.csv'), 'picture,question,answer\na.png,what?,yes\n');
    await openTab();
    await page.setInputFiles('input[accept*=csv]', join(folder, 'bad.csv'));
    await page.setInputFiles('input[webkitdirectory]', folder);
    await button('Start').click();
    await page
      .getByRole('alert')
      .getByText(/no column for the image/)
      .waitFor();
    await page
      .getByRole('alert')
      .getByText(/there are picture, question, answer/)
      .waitFor();
    await button('Dismiss').click();
  });

  test(`${COMPARED} losses equal Node's, with a pause and a reload in between`, async () => {
    const { table, images } = await writeData();
    await page.setInputFiles('input[accept*=csv]', table);
    await page.setInputFiles('input[webkitdirectory]', images);
    await page.getByLabel('Epochs').fill(`${EPOCHS}`);
    await page.getByLabel('Questions a step').fill(`${BATCH}`);
    await button('Start').click();
    await page.getByText(new RegExp(`Step \\d+ of ${STEPS}`)).waitFor({ timeout: 60_000 });
    await button('Pause').click();
    await button('Go on').waitFor();
    const before = await keptSteps();
    expect(before.length).toBeLessThan(STEPS);
    await page.reload();
    await openTab();
    await page.getByText('A training from an earlier visit').waitFor();
    await button('Go on').click();
    await page.getByText('Finished').waitFor({ timeout: 60_000 });
    const losses = await keptSteps();
    expect(losses.slice(0, before.length)).toEqual(before);
    const expected = await nodeLosses();
    expect(losses).toHaveLength(STEPS);
    losses.slice(0, Math.max(COMPARED, before.length + 2)).forEach((loss, i) => {
      expect(Math.abs(loss / expected[i]! - 1), `step ${i + 1}: ${loss}, Node ${expected[i]}`).toBeLessThan(
        TOLERANCE,
      );
    });
  }, 180_000);

  test('the adapter that it downloads gives the same answers in Node', async () => {
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      button('Download adapter (.zip)').click(),
    ]);
    const folder = temporaryFolder();
    for (const [name, bytes] of Object.entries(unzipSync(readFileSync(await download.path())))) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), bytes);
    }
    await button('Use it for answers').click();
    await page.getByText('It answers now').waitFor();
    await page.getByRole('navigation').getByRole('button', { name: 'Ask' }).click();
    const { imageId, question } = rad.questions[0]!;
    await chooseImage(page, imageId);
    const [here] = await askPage(page, question);
    const model = await loadModel(run, { checkpoint: 'base' });
    await model.loadAdapter('from the tab', join(folder, 'adapter'));
    const there = await model.answer(rad.imagePath(imageId), question, { adapter: 'from the tab' });
    const base = await model.answer(rad.imagePath(imageId), question);
    await model.dispose();
    expect(here!.answer).toBe(there.answer || '(no answer)');
    expect(Math.abs(here!.probability - there.probability)).toBeLessThan(TOLERANCE);
    expect(Math.abs(base.probability - there.probability)).toBeGreaterThan(TOLERANCE); // it learned something
    await page.setInputFiles('main input[webkitdirectory]', join(folder, 'adapter'));
    await page.getByRole('option', { name: 'lora-r8: adapter' }).waitFor({ state: 'attached' });
    const [again] = await askPage(page, question);
    expect(Math.abs(again!.probability - here!.probability)).toBeLessThan(1e-6);
  });

  test('a folder that the browser picks, with folders in it, is learned from', async () => {
    const { table, images } = await writeUserData(temporaryFolder(), { train: 4, validation: 0 });
    const files = readdirSync(images).map((name): [string, string] => [
      name,
      readFileSync(join(images, name)).toString('base64'),
    ]);
    const context = await browser.newContext();
    const picking = await context.newPage();
    await picking.addInitScript(() => {
      // the private file system's folders are of the class that the dialog gives
      const picked = async () => (await navigator.storage.getDirectory()).getDirectoryHandle('scans');
      Object.defineProperty(globalThis, 'showDirectoryPicker', { value: picked });
    });
    await picking.goto(server.url);
    await picking.evaluate(async (all) => {
      const root = await navigator.storage.getDirectory();
      const scans = await root.getDirectoryHandle('scans', { create: true });
      const inner = await scans.getDirectoryHandle('2024', { create: true });
      for (const [name, base64] of all) {
        const writable = await (await inner.getFileHandle(name, { create: true })).createWritable();
        await writable.write(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
        await writable.close();
      }
    }, files);
    await picking.getByRole('navigation').getByRole('button', { name: 'Fine-tune' }).click();
    await picking.setInputFiles('input[accept*=csv]', table);
    await picking.getByRole('button', { name: 'Choose a folder' }).click();
    await picking.getByText(`scans: ${files.length} file`).waitFor();
    expect(await accessibilityErrors(picking)).toEqual([]);
    await picking.getByLabel('Epochs').fill('1');
    await picking.getByRole('button', { name: 'Start', exact: true }).click();
    await picking.getByText('Finished').waitFor({ timeout: 120_000 });
    expect(await keptSteps(picking)).toHaveLength(1);
    await context.close();
  }, 180_000);

  test('only one tab trains at a time', async () => {
    const other = await page.context().newPage();
    await other.goto(server.url);
    await other.evaluate(() => {
      void navigator.locks.request('mile-ort training', () => new Promise(() => {}));
    });
    await page.bringToFront();
    await openTab();
    await button('Delete it').click();
    const { table, images } = await writeData();
    await page.setInputFiles('input[accept*=csv]', table);
    await page.setInputFiles('input[webkitdirectory]', images);
    await button('Start').click();
    await page
      .getByRole('alert')
      .getByText(/another tab is training/)
      .waitFor({ timeout: 30_000 });
    await other.close();
  });
});

/** With `npm run test:full`: a minute by software. */
test.skipIf(!canRun || process.env.MILE_ORT_TEST !== 'full')(
  'WebGPU gives the losses of WebAssembly',
  async () => {
    const { url } = await serveRuns([buildSmallRun()]);
    const withGpu = await launch(softwareGpu);
    const { table, images } = await writeData();
    const lossesOn = async (device: string) => {
      const opened = await openPage(withGpu, `${url}?device=${device}`);
      await opened.page.getByRole('navigation').getByRole('button', { name: 'Fine-tune' }).click();
      await opened.page.setInputFiles('input[accept*=csv]', table);
      await opened.page.setInputFiles('input[webkitdirectory]', images);
      await opened.page.getByLabel('Epochs').fill('1');
      await opened.page.getByRole('button', { name: 'Start', exact: true }).click();
      await opened.page.getByText('Finished').waitFor({ timeout: 120_000 });
      expect(await opened.page.locator('[data-device]').getAttribute('data-device')).toBe(device);
      const losses = await keptSteps(opened.page);
      await opened.context.close();
      return losses;
    };
    const [onCpu, onGpu] = [await lossesOn('wasm'), await lossesOn('webgpu')];
    await withGpu.close();
    onGpu.forEach((loss, i) => {
      expect(Math.abs(loss / onCpu[i]! - 1)).toBeLessThan(1e-4);
    });
  },
  300_000,
);
