/** @file What goes wrong on users' machines: each says what to do, and what can go on goes on. */
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Browser } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../runtime/node/index.js';
import { type Running, serve } from '../../runtime/node/serve/server.js';
import { type Site, siteOf } from '../../runtime/node/serve/site.js';
import { readManifest, weightsPath } from '../../training-artifacts/graphs/manifest.js';
import { writeDeepGrey } from '../runtime/node/runs.js';
import {
  askPage,
  buildRun,
  canRun,
  chooseImage,
  launch,
  type OpenedPage,
  openPage,
  rad,
  temporaryFolder,
} from './support.js';

let browser: Browser;
let run: string;
let weights: string;
let site: Site;
let server: Running;
const servers: Running[] = [];

const served = async (files: Site): Promise<Running> => {
  const started = await serve(files, { host: '127.0.0.1', port: 0 });
  servers.push(started);
  return started;
};

beforeAll(async () => {
  if (!canRun) return;
  run = buildRun();
  weights = weightsPath(run, readManifest(run));
  site = siteOf([run]);
  server = await served(site);
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  for (const started of servers) await started.close();
});

describe.skipIf(!canRun)('images', () => {
  let opened: OpenedPage;
  beforeAll(async () => {
    opened = await openPage(browser, server.url);
  });
  afterAll(() => opened?.context.close());

  const choose = async (name: string, bytes: Uint8Array | string): Promise<string | undefined> => {
    const file = join(temporaryFolder(), name);
    writeFileSync(file, bytes);
    const { page } = opened;
    await page.setInputFiles('input[accept*=image]', file);
    await page.locator('.problem, figcaption').filter({ hasText: name }).first().waitFor();
    return (await page.locator('.problem').allInnerTexts())[0];
  };

  test('that are none, or cut short', async () => {
    expect(await choose('notes.png', 'no image at all')).toMatch(/cannot decode.*notes\.png.*undamaged PNG/s);
    expect(await choose('empty.jpg', '')).toMatch(/is empty/);
    const deep = join(temporaryFolder(), 'deep.png');
    await writeDeepGrey(deep);
    expect(await choose('deep.png', readFileSync(deep))).toBeUndefined();
    expect(await choose('cut.png', readFileSync(deep).subarray(0, 120))).toMatch(
      /damaged or cut short.*cut\.png/s,
    );
  }, 120_000);

  test('that are DICOM are shown and answered, damaged ones are refused', async () => {
    const bytes = new Uint8Array(200);
    bytes.set(new TextEncoder().encode('DICM'), 128);
    expect(await choose('cut.dcm', bytes)).toMatch(/DICOM.*What to do/s);
    const scan = join(import.meta.dirname, '../oracles/dicom/jpeg2000.dcm');
    expect(await choose('scan.dcm', readFileSync(scan))).toBeUndefined();
    const { page } = opened;
    const shown = await page.locator('figure img').evaluate((img) => (img as HTMLImageElement).naturalWidth);
    expect(shown).toBeGreaterThan(0);
    const [here] = await askPage(page, 'what is shown?');
    const there = await (await loadModel(run)).answer(scan, 'what is shown?');
    expect(here!.answer).toBe(there.answer);
    expect(here!.probability).toBeCloseTo(there.probability, 3);
  }, 120_000);

  test('turned by EXIF, transparent or of 16 bits are the pixels that Node sees', async () => {
    const folder = temporaryFolder();
    const source = sharp(rad.imagePath(rad.questions[0]!.imageId)).resize(240, 160);
    const files = ['turned.png', 'clear.png', 'deep.png'].map((name) => join(folder, name));
    await source.clone().withMetadata({ orientation: 6 }).png().toFile(files[0]!);
    await source.clone().ensureAlpha(0.5).png().toFile(files[1]!);
    await writeDeepGrey(files[2]!);
    const model = await loadModel(run);
    const { page } = opened;
    for (const file of files) {
      await page.setInputFiles('input[accept*=image]', file);
      await page.locator('figcaption', { hasText: basename(file) }).waitFor();
      const [here] = await askPage(page, 'what is shown?');
      const there = await model.answer(file, 'what is shown?');
      expect(here!.answer, file).toBe(there.answer);
      // half transparent pixels are rounded differently, by one of 255 levels
      const tolerance = file.includes('clear') ? 5e-3 : 1e-3;
      expect(Math.abs(here!.probability - there.probability), file).toBeLessThan(tolerance);
    }
    await model.dispose();
  }, 120_000);
});

describe.skipIf(!canRun)('downloads', () => {
  const path = () => `weights/${basename(weights)}`;
  const load = (page: Awaited<ReturnType<typeof openPage>>['page']) =>
    page.getByRole('button', { name: 'Download the model' }).click();

  test('weights that are cut short on the server are refused, and taken whole the next time', async () => {
    const cut = { ...site.get(path())!, content: () => readFileSync(weights).subarray(0, 30_000_000) };
    const files = new Map([...site, [path(), cut]]);
    const broken = await served(files);
    const { page, context } = await openPage(browser, broken.url);
    await load(page);
    await page
      .getByRole('alert')
      .getByText(/damaged: its hash is another/)
      .waitFor({ timeout: 30_000 });
    await page
      .getByRole('alert')
      .getByText(/load the page again/)
      .waitFor();
    files.set(path(), site.get(path())!);
    await load(page);
    await page
      .getByRole('button', { name: 'Download the model' })
      .waitFor({ state: 'detached', timeout: 30_000 });
    expect(await page.locator('.problem').count()).toBe(0);
    await context.close();
  }, 120_000);

  test('one that broke off goes on where it was', async () => {
    const { page, context } = await openPage(browser, server.url);
    const { sha256 } = readManifest(run).weights;
    const first = 10_000_000;
    await page.evaluate(
      async ([name, url, length]) => {
        const bytes = (await (await fetch(url as string)).arrayBuffer()).slice(0, length as number);
        const root = await navigator.storage.getDirectory();
        const own = await root.getDirectoryHandle('mile-ort', { create: true });
        const folder = await own.getDirectoryHandle('weights', { create: true });
        const file = await (await folder.getFileHandle(name as string, { create: true })).createWritable();
        await file.write(bytes);
        await file.close();
      },
      [`${sha256}.part`, path(), first] as const,
    );
    const asked = context.waitForEvent('request', (r) => r.headers().range !== undefined);
    await load(page);
    expect((await asked).headers().range).toBe(`bytes=${first}-`);
    await page
      .getByRole('button', { name: 'Download the model' })
      .waitFor({ state: 'detached', timeout: 30_000 });
    expect(await page.locator('.problem').count()).toBe(0);
    await context.close();
  }, 120_000);

  test('a full storage is said; the model works from memory', async () => {
    const { page, context } = await openPage(browser, server.url);
    const cdp = await context.newCDPSession(page);
    await cdp.send('Storage.overrideQuotaForOrigin', {
      origin: new URL(server.url).origin,
      quotaSize: 5_000_000,
    });
    await load(page);
    await page.getByText(/storage is full: the model stays in memory/).waitFor({ timeout: 30_000 });
    const { imageId, question } = rad.questions[0]!;
    await chooseImage(page, imageId); // shown only when it is decoded: a question before that is not taken
    expect((await askPage(page, question))[0]!.probability).toBeGreaterThan(0);
    await context.close();
  }, 120_000);

  test('of two tabs the second waits for the first and then has it', async () => {
    const { page, context } = await openPage(browser, server.url);
    const other = await context.newPage();
    await other.goto(server.url);
    await other.evaluate(
      (name) => {
        void navigator.locks.request(
          name,
          () => new Promise((resolve) => Object.assign(globalThis, { resolve })),
        );
      },
      `mile-ort ${readManifest(run).weights.sha256}`,
    );
    await load(page);
    await page.getByText(/Another tab is downloading the same model/).waitFor();
    await other.evaluate('resolve()');
    await page
      .getByRole('button', { name: 'Download the model' })
      .waitFor({ state: 'detached', timeout: 30_000 });
    await context.close();
  }, 120_000);

  test('a server that is gone is said', async () => {
    const gone = await served(site);
    const { page, context } = await openPage(browser, gone.url);
    await gone.close();
    servers.splice(servers.indexOf(gone), 1);
    await load(page);
    await page
      .getByRole('alert')
      .getByText(/does not answer/)
      .waitFor({ timeout: 30_000 });
    await context.close();
  });
});

describe.skipIf(!canRun)('devices', () => {
  test('a model that is larger than the memory is said', async () => {
    const path = 'ort/ort-wasm-simd-threaded.mjs';
    const runtime = readFileSync(site.get(path)!.content as string, 'utf8');
    const small = runtime.replaceAll('maximum:65536', 'maximum:700'); // pages of 64 KB
    expect(small).not.toBe(runtime);
    const files = new Map([...site, [path, { ...site.get(path)!, content: () => Buffer.from(small) }]]);
    const { page, context } = await openPage(browser, (await served(files)).url);
    await page.getByRole('button', { name: 'Download the model' }).click();
    await page
      .getByRole('alert')
      .getByText(/memory of this tab ran out.*fewer questions a step.*--quantize int8/s)
      .waitFor({ timeout: 60_000 });
    await context.close();
  }, 120_000);

  test('WebGPU that is asked for and not there is said', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${server.url}?device=webgpu`);
    await page
      .getByRole('alert')
      .getByText(/no WebGPU adapter.*leave it out/s)
      .waitFor();
    await page.goto(`${server.url}?device=cuda`);
    await page
      .getByRole('alert')
      .getByText(/unknown device 'cuda'/)
      .waitFor();
    await context.close();
  });
});
