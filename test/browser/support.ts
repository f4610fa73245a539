/** @file Debian's Chromium, a run to serve, and the page of ort-serve in it. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from 'playwright-core';
import { afterAll } from 'vitest';
import { loadVqaRad } from '../../datasets/vqa-rad.js';
import { type Running, serve } from '../../runtime/node/serve/server.js';
import { siteOf } from '../../runtime/node/serve/site.js';
import { emitVariant } from '../../training-artifacts/graphs/emit.js';
import { tinyBuild } from '../runtime/node/runs.js';
import { findBrowser } from './find-browser.js';

const program = findBrowser();
const WITHOUT = 'no chromium: apt-get install chromium, or set $CHROMIUM to its program';
/** In CI a missing browser is a failure. */
export const canRun = program !== undefined || Boolean(process.env.CI);
if (!canRun) console.warn(`NOT RUN: ${WITHOUT}`);

/** Chromium's own software Vulkan as a WebGPU adapter. */
export const softwareGpu = [
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--enable-features=Vulkan',
];

export async function launch(args: readonly string[] = []): Promise<Browser> {
  if (!program) throw new Error(WITHOUT);
  return chromium.launch({ executablePath: program, args: ['--no-sandbox', ...args] });
}

const folders: string[] = [];
const servers: Running[] = [];
afterAll(async () => {
  for (const server of servers) await server.close();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-page-'));
  folders.push(folder);
  return folder;
}

/** A run on the shipped base. */
export function buildRun(variant = 'lora-r8', placement = 'F/P/P', name = variant): string {
  const run = join(temporaryFolder(), name);
  emitVariant({ preset: 'miss-tiny', variant, placement }, run);
  return run;
}

/** A run of few drawn weights: software WebGPU takes a minute for the shipped base. */
export function buildSmallRun(): string {
  const run = join(temporaryFolder(), 'small');
  emitVariant(tinyBuild, run);
  return run;
}

export async function serveRuns(runs: readonly string[]): Promise<Running> {
  const server = await serve(siteOf(runs), { host: '127.0.0.1', port: 0 });
  servers.push(server);
  return server;
}

export const rad = loadVqaRad();

export interface OpenedPage {
  readonly context: BrowserContext;
  readonly page: Page;
  /** of the whole context, workers included */
  readonly requests: { readonly method: string; readonly url: string }[];
  /** what the page said in its console as an error */
  readonly errors: string[];
}

/** Runs in the page: no program can press the buttons of the browser's own folder dialog. */
export const usePlainInput = (): void => {
  Object.defineProperty(globalThis, 'showDirectoryPicker', { value: undefined, configurable: true });
};

export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<OpenedPage> {
  const context = await browser.newContext({ viewport: { width: 1200, height: 850 }, ...options });
  const requests: OpenedPage['requests'] = [];
  const errors: string[] = [];
  context.on('request', (r) => requests.push({ method: r.method(), url: r.url() }));
  context.on('console', (m) => m.type() === 'error' && errors.push(m.text()));
  context.on('weberror', (e) => errors.push(e.error().message));
  await context.addInitScript(usePlainInput);
  const page = await context.newPage();
  await page.goto(url);
  await page.locator('[data-device]').waitFor();
  return { context, page, requests, errors };
}

const ask = (page: Page) => page.getByRole('button', { name: 'Ask', exact: true }).last();

export async function chooseImage(page: Page, imageId: string): Promise<void> {
  await page.setInputFiles('input[accept*=image]', rad.imagePath(imageId));
  await page.locator('figcaption', { hasText: imageId }).waitFor();
}

export interface ShownAnswer {
  readonly answer: string;
  readonly probability: number;
}

/** Asks and reads the answer, or those of two models. */
export async function askPage(page: Page, question: string): Promise<ShownAnswer[]> {
  await page.fill('#question', question);
  const before = await page.evaluate(() => document.querySelectorAll('.history li').length);
  const isFirst = (await page.locator('.answer').count()) === 0;
  await ask(page).click();
  await page.waitForFunction(
    ([count, first]) =>
      document.querySelector('.problem') ||
      (first
        ? document.querySelector('.answer')
        : document.querySelectorAll('.history li').length > (count as number)),
    [before, isFirst] as const,
    { timeout: 60_000 },
  );
  const problem = await page.locator('.problem').allInnerTexts();
  if (problem.length > 0) throw new Error(problem[0]);
  return page.locator('.answers .answer').evaluateAll((cards) =>
    cards.map((card) => ({
      answer: card.querySelector('.big')!.textContent!.trim(),
      probability: Number((card.querySelector('[data-value]') as HTMLElement).dataset.value),
    })),
  );
}

const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

/** What axe finds wrong, all of its rules. */
export async function accessibilityErrors(page: Page): Promise<string[]> {
  // a policy without 'unsafe-inline' holds for tests, too: playwright's own evaluation does not need it
  if (!(await page.evaluate('typeof axe === "object"'))) await page.evaluate(readFileSync(axe, 'utf8'));
  const found = (await page.evaluate('axe.run()')) as {
    violations: { id: string; nodes: { html: string }[] }[];
  };
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes[0]!.html}`);
}
