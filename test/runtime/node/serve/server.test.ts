/** @file The server of ort-serve: a closed list, ranges, policies, and nothing that it would receive. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exportSite } from '../../../../runtime/node/serve/export-site.js';
import { parseRange, type Running, serve } from '../../../../runtime/node/serve/server.js';
import { type Site, siteOf } from '../../../../runtime/node/serve/site.js';
import { emitVariant } from '../../../../training-artifacts/graphs/emit.js';
import { expectMessage, listing, temporaryFolder, tinyBuild } from '../runs.js';

const folder = temporaryFolder();
const run = join(folder, 'tiny');
let site: Site;
let server: Running;

beforeAll(async () => {
  emitVariant(tinyBuild, run);
  site = siteOf([run]);
  server = await serve(site, { host: '127.0.0.1', port: 0 });
});
afterAll(() => server.close());

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** The path goes out as it is: `fetch` would tidy it up. */
const ask = (
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
) =>
  new Promise<Answer>((resolve, reject) => {
    const { port } = new URL(server.url);
    const { body, ...rest } = options;
    const asked = request({ host: '127.0.0.1', port, path, ...rest }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    asked.on('error', reject);
    asked.end(body);
  });

const weights = () => [...site.keys()].find((path) => path.startsWith('weights/'))!;
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe('what is served', () => {
  test('the page, the runtime and the files of the run, as they are on disk', async () => {
    const { weights: described, graphs } = JSON.parse(
      (await ask('/runs/tiny/manifest.json')).body.toString(),
    );
    expect(sha256((await ask(`/${weights()}`)).body)).toBe(described.sha256);
    for (const role of ['imageEncoder', 'questionEncoder', 'answerDecoder', 'training'])
      expect(sha256((await ask(`/runs/tiny/${graphs[role].file}`)).body)).toBe(graphs[role].sha256);
    expect((await ask('/')).body.toString()).toContain('<div id="page">');
    expect((await ask('/ort/ort-wasm-simd-threaded.wasm', { method: 'HEAD' })).headers['content-type']).toBe(
      'application/wasm',
    );
  });

  test('no path of this machine is told', async () => {
    for (const path of ['/runs.json', '/runs/tiny/manifest.json']) {
      const text = (await ask(path)).body.toString();
      expect(text).not.toContain(folder);
      expect(text).not.toContain(process.env.HOME);
    }
  });

  test.each([
    '/../package.json',
    '/..%2fpackage.json',
    '/runs/tiny/../../../../etc/passwd',
    '/runs/tiny/%2e%2e/%2e%2e/etc/passwd',
    '/runs//tiny/manifest.json',
    '/runs/tiny/optimizer_model.onnx',
    '/runs/tiny/checkpoint/last.safetensors',
    '/runs/tiny/',
    '//etc/passwd',
    '/%00',
    '/%',
  ])('%s is not there', async (path) => {
    const { status, body } = await ask(path);
    expect(status).toBe(404);
    expect(body.toString()).toBe('There is no such file here.\n');
  });

  test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])(
    '%s is refused: nothing is received',
    async (method) => {
      const before = listing(folder);
      const { status, headers } = await ask('/runs/tiny/manifest.json', { method, body: 'x'.repeat(1000) });
      expect(status).toBe(405);
      expect(headers.allow).toBe('GET, HEAD');
      expect(listing(folder)).toEqual(before);
    },
  );

  test('a name that somebody else points here is refused', async () => {
    expect((await ask('/runs.json', { headers: { host: 'evil.example:80' } })).status).toBe(421);
    expect((await ask('/runs.json', { headers: { host: 'localhost:8080' } })).status).toBe(200);
  });

  test.each(['/', '/runs.json', '/nothing', `/ort/ort-wasm-simd-threaded.mjs`])(
    'policies of %s',
    async (path) => {
      const { headers } = await ask(path);
      const policy = String(headers['content-security-policy']);
      expect(policy).toContain("default-src 'self'");
      expect(policy).not.toMatch(/https?:|\*|unsafe-inline|'unsafe-eval'/);
      expect(headers['cross-origin-opener-policy']).toBe('same-origin');
      expect(headers['cross-origin-embedder-policy']).toBe('require-corp');
      expect(headers['x-content-type-options']).toBe('nosniff');
    },
  );
});

describe('parts of files', () => {
  test.each([
    ['bytes=0-9', 100, { from: 0, to: 9 }],
    ['bytes=90-', 100, { from: 90, to: 99 }],
    ['bytes=90-500', 100, { from: 90, to: 99 }],
    ['bytes=-10', 100, { from: 90, to: 99 }],
    ['bytes=-500', 100, { from: 0, to: 99 }],
    ['bytes=100-', 100, 'none'],
    ['bytes=9-5', 100, 'none'],
    ['bytes=-', 100, undefined],
    ['bytes=0-1,5-6', 100, undefined],
    ['lines=0-1', 100, undefined],
    [undefined, 100, undefined],
  ] as const)('%s of %i bytes', (header, size, range) => {
    expect(parseRange(header, size)).toEqual(range);
  });

  test('a download goes on where it broke off, unless the file is another', async () => {
    const whole = (await ask(`/${weights()}`)).body;
    const { headers } = await ask(`/${weights()}`, { method: 'HEAD' });
    const part = (condition: string) =>
      ask(`/${weights()}`, { headers: { range: 'bytes=1000-', 'if-range': condition } });
    const rest = await part(String(headers.etag));
    expect(rest.status).toBe(206);
    expect(rest.headers['content-range']).toBe(`bytes 1000-${whole.length - 1}/${whole.length}`);
    expect(rest.body.equals(whole.subarray(1000))).toBe(true);
    expect((await part('"another"')).status).toBe(200);
    expect((await ask(`/${weights()}`, { headers: { range: `bytes=${whole.length}-` } })).status).toBe(416);
  });

  test('what the browser has already is not sent again', async () => {
    const { headers } = await ask('/runs.json');
    const again = await ask('/runs.json', { headers: { 'if-none-match': String(headers.etag) } });
    expect([again.status, again.body.length]).toEqual([304, 0]);
  });
});

describe('the exported folder', () => {
  test('holds the same files, replaces an earlier export and nothing else', async () => {
    const target = join(temporaryFolder(), 'site');
    exportSite(site, target);
    const files = readdirSync(target, { recursive: true, withFileTypes: true })
      .filter((e) => e.isFile())
      .map((e) => join(e.parentPath, e.name).slice(target.length + 1));
    expect(files.sort()).toEqual([...site.keys(), 'README.txt', '_headers'].sort());
    expect(readFileSync(join(target, weights())).equals((await ask(`/${weights()}`)).body)).toBe(true);
    exportSite(site, target);
    const other = temporaryFolder();
    writeFileSync(join(other, 'thesis.txt'), 'years of work');
    expect(() => exportSite(site, other)).toThrow(/has files and is no earlier export/);
    expect(readdirSync(other)).toEqual(['thesis.txt']);
  });
});

describe('ort-serve', () => {
  test('names what is wrong', async () => {
    await expectMessage('ort-serve', [], /there is no run(?:.|\n)*build-graph/);
    await expectMessage('ort-serve', ['--run', 'nowhere'], /not a run folder/);
    const { port } = new URL(server.url);
    await expectMessage(
      'ort-serve',
      ['--run', run, '--port', port],
      /cannot listen \(EADDRINUSE\)(?:.|\n)*--port 0/,
    );
    const full = temporaryFolder();
    mkdirSync(join(full, 'kept'));
    await expectMessage('ort-serve', ['--run', run, '--export', full], /has files and is no earlier export/);
  });
});
