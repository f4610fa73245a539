/** @file The exported folder on a file server that sends no headers of its own, with and without a network. */
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exportSite } from '../../runtime/node/serve/export-site.js';
import { siteOf } from '../../runtime/node/serve/site.js';
import { askPage, buildRun, canRun, chooseImage, launch, openPage, rad, temporaryFolder } from './support.js';

const types: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

/** As plain as file servers come: no ranges, no tags, no policies. */
function plainServer(folder: string): Server {
  return createServer(({ url = '/' }, response) => {
    const path = join(folder, url === '/site/' ? 'index.html' : url.replace(/^\/site\/|\?.*$/g, ''));
    if (!url.startsWith('/site/') || !statSync(path, { throwIfNoEntry: false })?.isFile())
      return response.writeHead(404).end();
    response.setHeader('content-type', types[extname(path)] ?? 'application/octet-stream');
    return response.end(readFileSync(path));
  });
}

let server: Server;
let browser: Browser;
let url: string;
let bytes: number;
const folder = join(temporaryFolder(), 'site');

beforeAll(async () => {
  if (!canRun) return;
  bytes = exportSite(siteOf([buildRun(), buildRun('lora-r4')]), folder);
  server = plainServer(folder).listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/site/`;
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  server?.close();
});

describe.skipIf(!canRun)('the exported folder', () => {
  test('holds the weights once', () => {
    expect(bytes).toBeGreaterThan(42e6 + 41e6); // weights and runtime
    expect(bytes).toBeLessThan(42e6 + 41e6 + 8e6);
    expect(readFileSync(join(folder, 'README.txt'), 'utf8')).toContain(
      'cross-origin-opener-policy: same-origin',
    );
  });

  test('without the two headers it computes in one thread and says so', async () => {
    const { page, context } = await openPage(browser, url, { serviceWorkers: 'block' });
    await page.getByText(/One thread only: the server does not send/).waitFor();
    expect(await page.locator('[data-device]').getAttribute('data-threads')).toBe('1');
    await context.close();
  });

  test('gets them from its service worker, and then answers without a network', async () => {
    const { page, context } = await openPage(browser, url);
    const { imageId, question } = rad.questions[0]!;
    await expect.poll(() => page.evaluate('crossOriginIsolated'), { timeout: 10_000 }).toBe(true);
    await page.locator('[data-threads]:not([data-threads="1"])').waitFor();
    await chooseImage(page, imageId);
    const online = await askPage(page, question);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await context.setOffline(true);
    await page.reload();
    await page.locator('[data-device]').waitFor();
    await chooseImage(page, imageId);
    expect(await askPage(page, question)).toEqual(online);
    await context.close();
  }, 60_000);
});
