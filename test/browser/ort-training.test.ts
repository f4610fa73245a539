/** @file The last JavaScript runtime that could train, onnxruntime-web 1.19.2, on the artifacts that we write. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  caseBatches,
  caseName,
  caseTensors,
  forwardOf,
  type OrtCase,
  ortCases,
  ownLosses,
  writeCase,
} from '../oracles/ort_training/cases.js';
import { canRun, launch } from './support.js';

const STEPS = 4;
const root = new URL('../..', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'mile-ort-browser-'));

const types: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};

/** Serves the runtime under /dist, the page's script, and the cases under /cases. */
function serve(): Server {
  const files: readonly (readonly [RegExp, string])[] = [
    [/^\/dist\//, join(root, 'node_modules/onnxruntime-web-training/dist/')],
    [/^\/cases\//, `${folder}/`],
    [/^\/(?=ort-training-page\.js$)/, join(root, 'test/browser/')],
  ];
  return createServer(({ url = '/' }, response) => {
    const found = files.find(([prefix]) => prefix.test(url));
    const path = found && url.replace(found[0], found[1]);
    if (url === '/')
      response.setHeader('content-type', 'text/html').end('<!doctype html><title>train</title>');
    else if (!path || !existsSync(path)) response.writeHead(404).end();
    else {
      response.setHeader('content-type', types[extname(path)] ?? 'application/octet-stream');
      response.end(readFileSync(path));
    }
  });
}

let server: Server;
let browser: Browser | undefined;
let page: Page;

beforeAll(async () => {
  if (!canRun) return;
  server = serve().listen(0, '127.0.0.1');
  browser = await launch();
  page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  await page.addScriptTag({ url: '/ort-training-page.js', type: 'module' });
});
afterAll(async () => {
  await browser?.close();
  server?.close();
  rmSync(folder, { recursive: true });
});

interface Trained {
  readonly evaluated: number;
  readonly losses: readonly number[];
  readonly parameters: number;
  readonly outputs: readonly string[];
}

async function trainInBrowser(which: OrtCase): Promise<Trained> {
  const name = caseName(which).replaceAll(/[/ ]/g, '');
  writeCase(join(folder, name), which, caseBatches(STEPS));
  return (await page.evaluate(`train('/cases/${name}')`)) as Trained;
}

const relative = (a: number, b: number): number => Math.abs(a - b) / b;

test.skipIf(!canRun).each(ortCases.map((which) => [caseName(which), which] as const))(
  '%s',
  async (_, which) => {
    const { evaluated, losses, parameters, outputs } = await trainInBrowser(which);
    const own = await ownLosses(which, caseBatches(STEPS));
    expect(losses.length).toBe(STEPS);
    losses.forEach((loss, i) => {
      expect(relative(loss, own[i]!), `step ${i + 1}: ${loss}, ours ${own[i]}`).toBeLessThan(1e-4);
    });
    expect(relative(evaluated, losses[0]!)).toBeLessThan(1e-5);
    const trained = [...caseTensors(forwardOf(which), which).values()];
    expect(parameters).toBe(trained.reduce((n, t) => n + t.value.length, 0));
    expect(outputs).toEqual(['loss']);
  },
);
