/** @file `mile-ort/web` as a program of somebody else's sees it: the example, bundled from the package's exports. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { build } from 'vite';
import { afterAll, describe, expect, test } from 'vitest';
import { packageRoot } from '../../datasets/package-root.js';
import { loadModel } from '../../runtime/node/index.js';
import { serve } from '../../runtime/node/serve/server.js';
import { siteOf } from '../../runtime/node/serve/site.js';
import { buildRun, canRun, launch, rad, temporaryFolder } from './support.js';

let browser: Browser | undefined;
afterAll(() => browser?.close());

test('exports, types and ESM are as publint wants them', async () => {
  const { messages, pkg } = await publint({ pkgDir: packageRoot(), strict: true, pack: false });
  expect(messages.map((m) => formatMessage(m, pkg))).toEqual([]);
});

test('both entries have the same functions of a model', async () => {
  const { Model: inNode } = await import('../../runtime/node/model.js');
  const { Model: inBrowser } = await import('../../runtime/web/model.js');
  for (const name of ['answer', 'loadAdapter', 'train', 'dispose'])
    for (const { prototype } of [inNode, inBrowser])
      expect(prototype).toHaveProperty(name, expect.any(Function));
});

/** Bundles the example with the package as node_modules has it. */
async function bundle(): Promise<string> {
  const outDir = temporaryFolder();
  const compiled = join(packageRoot(), '.build', 'runtime', 'web', 'index.js');
  expect(existsSync(compiled), 'compile first: npx tsc').toBe(true);
  await build({
    configFile: false,
    logLevel: 'error',
    root: join(packageRoot(), 'runtime', 'web', 'example'),
    base: './',
    resolve: {
      alias: { 'mile-ort/web': compiled },
      conditions: ['onnxruntime-web-use-extern-wasm', 'module', 'browser', 'production'],
    },
    build: { outDir, target: 'es2023', modulePreload: false },
  });
  return outDir;
}

describe.skipIf(!canRun)('the example', () => {
  test('answers as the library does in Node', async () => {
    const [folder, run] = [await bundle(), buildRun()];
    const site = new Map(siteOf([run]));
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const type = path.endsWith('.html') ? 'text/html' : 'text/javascript';
      site.set(path.slice(folder.length + 1), { type, content: path, tag: () => path.length.toString() });
    }
    const server = await serve(site, { host: '127.0.0.1', port: 0 });
    browser = await launch();
    const page = await browser.newPage();
    await page.goto(server.url);
    const { imageId, question } = rad.questions[0]!;
    await page.setInputFiles('input[name=image]', rad.imagePath(imageId));
    await page.fill('input[name=question]', question);
    await page.click('button');
    const said = page.getByText(/Not a medical device/);
    await said.waitFor({ timeout: 30_000 });
    const model = await loadModel(run);
    const { answer, probability } = await model.answer(readFileSync(rad.imagePath(imageId)), question);
    await model.dispose();
    expect(await said.textContent()).toContain(`${answer} (${Math.round(100 * probability)}%)`);
    await server.close();
  }, 90_000);
});
