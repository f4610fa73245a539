/** @file The web server of ort-serve: GET and HEAD of a closed list of files, nothing is ever received. */
import { createReadStream, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { UserError } from '../../../graph-builder/errors.js';
import { siteHeaders } from './headers.js';
import { contentOf, type Site, type SiteFile } from './site.js';

export interface Running {
  readonly url: string;
  close(): Promise<void>;
}

interface Range {
  readonly from: number;
  /** the last byte */
  readonly to: number;
}

/** One range of bytes; undefined: the whole; 'none': it lies outside. Source: RFC 9110, section 14. */
export function parseRange(header: string | undefined, size: number): Range | 'none' | undefined {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? [];
  if (first === undefined || (first === '' && last === '')) return undefined;
  const from = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const to = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1);
  return from <= to ? { from, to } : 'none';
}

const loopback = ['localhost', '127.0.0.1', '[::1]'];

/** A page of another site whose name was made to point here must not read it: its requests bear its own name. */
function isOwnName(header: string | undefined, host: string): boolean {
  const name = (header ?? '').replace(/:\d+$/, '').toLowerCase();
  return !isLoopback(host) || loopback.includes(name) || name === host;
}

export const isLoopback = (host: string): boolean => ['localhost', '127.0.0.1', '::1'].includes(host);

function refuse(response: ServerResponse, status: number, text: string, headers = {}): void {
  response.writeHead(status, { ...siteHeaders, ...headers, 'content-type': 'text/plain; charset=utf-8' });
  response.end(`${text}\n`);
}

function pathOf(url: string): string | undefined {
  try {
    const path = decodeURIComponent(url.split(/[?#]/, 1)[0]!).slice(1);
    return path === '' ? 'index.html' : path;
  } catch {
    return undefined; // a broken escape
  }
}

function send(request: IncomingMessage, response: ServerResponse, file: SiteFile): void {
  const etag = `"${file.tag()}"`;
  const caching = file.immutable ? 'public, max-age=31536000, immutable' : 'no-cache';
  const headers = { ...siteHeaders, etag, 'cache-control': caching, 'accept-ranges': 'bytes' };
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304, headers).end();
    return;
  }
  const { content } = file;
  const bytes = typeof content === 'string' ? undefined : contentOf(file);
  const size = bytes?.length ?? statSync(content as string).size;
  const condition = request.headers['if-range'];
  const range = !condition || condition === etag ? parseRange(request.headers.range, size) : undefined;
  if (range === 'none') {
    response.writeHead(416, { ...headers, 'content-range': `bytes */${size}` }).end();
    return;
  }
  const { from, to } = range ?? { from: 0, to: size - 1 };
  response.writeHead(range ? 206 : 200, {
    ...headers,
    'content-type': file.type,
    'content-length': to - from + 1,
    ...(range && { 'content-range': `bytes ${from}-${to}/${size}` }),
  });
  if (request.method === 'HEAD' || size === 0) response.end();
  else if (bytes) response.end(bytes.subarray(from, to + 1));
  else
    createReadStream(content as string, { start: from, end: to })
      .on('error', () => response.destroy()) // the length was promised: the browser sees a broken download
      .pipe(response);
}

function handle(site: Site, host: string, request: IncomingMessage, response: ServerResponse): void {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    refuse(response, 405, 'This server receives nothing.', { allow: 'GET, HEAD', connection: 'close' });
    return;
  }
  const path = pathOf(request.url ?? '/');
  const file = path === undefined ? undefined : site.get(path);
  try {
    if (!isOwnName(request.headers.host, host)) refuse(response, 421, 'Not the name of this server.');
    else if (!file) refuse(response, 404, 'There is no such file here.');
    else send(request, response, file);
  } catch {
    refuse(response, 500, 'The file cannot be read any more.');
  }
}

/** @throws {UserError} when the port is taken or not allowed. */
export async function serve(site: Site, { host, port }: { host: string; port: number }): Promise<Running> {
  const server: Server = createServer((request, response) => handle(site, host, request, response));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const where = `${host}:${port}`;
      reject(
        new UserError(
          `cannot listen (${error.code})`,
          where,
          'choose another --port, or --port 0 for any free one',
          { cause: error },
        ),
      );
    });
    server.listen(port, host, resolve);
  });
  const { port: taken } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${taken}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
