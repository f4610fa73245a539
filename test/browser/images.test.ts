/** @file The same image file in a browser and in Node: the pixels that a model gets differ by at most 2 of 255. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, extname, join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import sharp, { type Sharp } from 'sharp';
import { build } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { resizeImage, toPlanes } from '../../datasets/images/resize.js';
import { uniform } from '../../datasets/random.js';
import { loadVqaRad } from '../../datasets/vqa-rad.js';
import { decodeImage } from '../../runtime/node/decode-image.js';
import { findBrowser } from './find-browser.js';

const SIDE = 160;
const folder = mkdtempSync(join(tmpdir(), 'mile-ort-images-'));
const oracles = join(import.meta.dirname, '../oracles/dicom');
const types: Record<string, string> = {
  '.js': 'text/javascript',
  '.wasm': 'application/wasm',
  '.html': 'text/html',
};
/** What the page of ort-serve allows: no code from strings. */
const POLICY =
  "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; img-src 'self' blob:";

/** Paths by their URL. */
const files = new Map<string, string>();

function serve(): Server {
  return createServer(({ url = '/' }, response) => {
    response.setHeader('content-security-policy', POLICY);
    const path = files.get(url) ?? join(folder, basename(url));
    const type = types[extname(path)] ?? 'application/octet-stream';
    if (url === '/')
      return response.setHeader('content-type', 'text/html').end('<!doctype html><title>images</title>');
    try {
      return response.setHeader('content-type', type).end(readFileSync(path));
    } catch {
      return response.writeHead(404).end();
    }
  });
}

const program = findBrowser();
/** In CI a missing browser is a failure. */
const canRun = program !== undefined || Boolean(process.env.CI);
if (!canRun)
  console.warn('NOT RUN: no chromium here; apt-get install chromium, or set $CHROMIUM to its program');
let server: Server;
let browser: Browser | undefined;
let page: Page;

beforeAll(async () => {
  if (!canRun) return;
  if (!program) throw new Error('no chromium: apt-get install chromium, or set $CHROMIUM to its program');
  await build({
    configFile: false,
    logLevel: 'error',
    root: import.meta.dirname,
    build: {
      outDir: folder,
      emptyOutDir: false,
      assetsDir: '.',
      target: 'es2023',
      modulePreload: false,
      assetsInlineLimit: 0,
      rollupOptions: {
        input: join(import.meta.dirname, 'images-page.ts'),
        output: { entryFileNames: 'page.js' },
      },
    },
  });
  server = serve().listen(0, '127.0.0.1');
  browser = await chromium.launch({ executablePath: program, args: ['--no-sandbox'] });
  page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  await page.addScriptTag({ url: '/page.js', type: 'module' });
});
afterAll(async () => {
  await browser?.close();
  server?.close();
  rmSync(folder, { recursive: true });
});

/** The file in the browser: whole, or resized to `side`. */
async function inBrowser(path: string, side?: number): Promise<Uint8Array> {
  const url = `/files/${files.size}`;
  files.set(url, path);
  return Buffer.from((await page.evaluate(`shown('${url}', ${side})`)) as string, 'base64');
}

async function inNode(path: string, side?: number): Promise<ArrayLike<number>> {
  const image = await decodeImage(path);
  return side === undefined ? image.data : toPlanes(resizeImage(image, side, side));
}

/** Share of the numbers that differ by more than 2, and the largest difference. */
async function difference(path: string, side?: number): Promise<{ share: number; most: number }> {
  const [there, here] = [await inBrowser(path, side), await inNode(path, side)];
  expect(there.length).toBe(here.length);
  let [over, most] = [0, 0];
  for (let i = 0; i < there.length; i++) {
    const d = Math.abs(there[i]! - here[i]!);
    most = Math.max(most, d);
    if (d > 2) over += 1;
  }
  return { share: over / there.length, most };
}

const radiographs = loadVqaRad();
const real = [...new Set(radiographs.questions.map((q) => q.imageId))].sort().filter((_, i) => i % 30 === 0);

test.skipIf(!canRun)('radiographs (JPEG as published)', async () => {
  for (const id of real) {
    const { share } = await difference(radiographs.imagePath(id), SIDE);
    expect(share, id).toBeLessThan(0.001);
  }
});

/** Smooth colours with edges and noise: what compressors find hard. */
function picture(width: number, height: number, channels: 1 | 3 | 4): Sharp {
  const data = Uint8Array.from({ length: width * height * channels }, (_, i) => {
    const [c, x, y] = [i % channels, Math.floor(i / channels) % width, Math.floor(i / channels / width)];
    const disc = (x - width / 3) ** 2 + (y - height / 2) ** 2 < (height / 4) ** 2 ? 90 : 0;
    return Math.min(255, 40 + c * 30 + (100 * x) / width + disc + 25 * uniform(c, x, y));
  });
  return sharp(data, { raw: { width, height, channels } });
}

const made: readonly (readonly [string, () => Sharp])[] = [
  ['colour-420.jpg', () => picture(151, 97, 3).jpeg({ quality: 85, chromaSubsampling: '4:2:0' })],
  ['colour-444.jpg', () => picture(151, 97, 3).jpeg({ quality: 92, chromaSubsampling: '4:4:4' })],
  ['display-p3.jpg', () => picture(90, 60, 3).withIccProfile('p3').jpeg({ quality: 95 })],
  ['progressive.jpg', () => picture(120, 80, 3).jpeg({ quality: 80, progressive: true })],
  ['grey.jpg', () => picture(151, 97, 1).jpeg({ quality: 88 })],
  [
    'turned.jpg',
    () =>
      picture(90, 60, 3).withMetadata({ orientation: 6 }).jpeg({ quality: 90, chromaSubsampling: '4:4:4' }),
  ],
  ['colour.png', () => picture(151, 97, 3).png()],
  ['grey.png', () => picture(151, 97, 1).png()],
  ['palette.png', () => picture(151, 97, 3).png({ palette: true })],
  ['deep-grey.png', () => picture(60, 40, 1).toColourspace('grey16').png()],
  ['colour.webp', () => picture(151, 97, 3).webp({ lossless: true })],
];

test.skipIf(!canRun).each(made)('%s', async (name, make) => {
  const path = join(folder, name);
  writeFileSync(path, await make().toBuffer());
  for (const side of [undefined, SIDE]) {
    const { share, most } = await difference(path, side);
    expect(share, `${side ?? 'whole'}: largest ${most}`).toBeLessThan(0.001);
  }
});

test.skipIf(!canRun)('transparency lies on black', async () => {
  const path = join(folder, 'transparent.png');
  writeFileSync(path, await picture(50, 40, 4).png().toBuffer());
  // premultiplied colours of 8 bits lose what 1 of 255 is
  expect((await difference(path)).most).toBeLessThanOrEqual(2);
});

test.skipIf(!canRun)('DICOM, whatever it is compressed with: the same pixels', async () => {
  for (const file of readdirSync(oracles).filter((f) => f.endsWith('.dcm')))
    expect((await difference(join(oracles, file))).most, file).toBe(0);
});

test.skipIf(!canRun)('a damaged DICOM file is a clear error that names the file only', async () => {
  const path = join(folder, 'cut.dcm');
  writeFileSync(path, readFileSync(join(oracles, 'jpeg2000.dcm')).subarray(0, 900));
  await expect(inBrowser(path)).rejects.toThrow('the DICOM file is damaged or cut off');
});
