/**
 * @file The page without a network: its files, the runtime's and those of runs that were opened.
 *
 * Also gives every answer the two cross-origin headers that threads of WebAssembly need, for file servers that do not.
 * Weights pass through: the page keeps them in the browser's private file system, checked and in pieces. Of
 * workbox's tools none is needed for that.
 */

/** What the DOM library lacks of a service worker's globals. */
interface ExtendableEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchEvent extends ExtendableEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}
interface Scope {
  readonly registration: { readonly scope: string };
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: 'install' | 'activate', listener: (event: ExtendableEvent) => void): void;
  addEventListener(type: 'fetch', listener: (event: FetchEvent) => void): void;
}
const scope = globalThis as unknown as Scope;

/** Replaced when the page is built. */
const FILES = '__FILES__' as unknown as readonly string[];
const PAGE = 'page __VERSION__';
/** Of the runtime and the runs: asked for at the server first. */
const SEEN = 'seen';

scope.addEventListener('install', (event) => {
  event.waitUntil(
    caches
      .open(PAGE)
      .then((cache) => cache.addAll(FILES))
      .then(() => scope.skipWaiting()),
  );
});

scope.addEventListener('activate', (event) => {
  const isOld = (name: string) => name.startsWith('page ') && name !== PAGE;
  const removed = caches
    .keys()
    .then((names) => Promise.all(names.filter(isOld).map((name) => caches.delete(name))));
  event.waitUntil(removed.then(() => scope.clients.claim()));
});

function isolated(response: Response): Response {
  if (response.status === 0 || response.headers.get('cross-origin-embedder-policy')) return response;
  const headers = new Headers(response.headers);
  headers.set('cross-origin-opener-policy', 'same-origin');
  headers.set('cross-origin-embedder-policy', 'require-corp');
  headers.set('cross-origin-resource-policy', 'same-origin');
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}

/** The server's answer, kept; without a server what was kept. */
async function fromServer(event: FetchEvent): Promise<Response> {
  const { request } = event;
  const kept = await caches.open(SEEN);
  try {
    const response = await fetch(request);
    // not waited for: a full storage must not hold the page up
    if (response.status === 200)
      event.waitUntil(kept.put(request.url, response.clone()).catch(() => undefined));
    return response;
  } catch (error) {
    const found =
      (await kept.match(request.url)) ?? (await caches.match(request.url, { ignoreSearch: true }));
    if (found) return found;
    throw error;
  }
}

/** Files of this build never change under their names. */
async function fromPage(request: Request): Promise<Response> {
  return (await (await caches.open(PAGE)).match(request.url)) ?? fetch(request);
}

scope.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  const path = url.href.slice(scope.registration.scope.length);
  if (request.method !== 'GET' || !url.href.startsWith(scope.registration.scope)) return;
  if (path.startsWith('weights/')) return;
  const answer = path.startsWith('assets/') ? fromPage(request) : fromServer(event);
  event.respondWith(answer.then(isolated));
});
