/** @file The page's worker and its service worker. */
import { proxy, type Remote, wrap } from 'comlink';
import type { Events, PageWorker } from './protocol.js';

const base = new URL('.', document.baseURI).href;

/** Longest wait for the service worker at the first visit, ms. */
const PATIENCE = 4000;

/** Tells whether the page is under a service worker's control. */
async function registerServiceWorker(): Promise<boolean> {
  const { serviceWorker } = navigator;
  if (!serviceWorker) return false; // no HTTPS
  try {
    await serviceWorker.register(new URL('service-worker.js', base));
  } catch {
    return serviceWorker.controller !== null; // not allowed here, or offline
  }
  if (serviceWorker.controller) return true;
  const controlled = new Promise<boolean>((resolve) => {
    serviceWorker.addEventListener('controllerchange', () => resolve(true), { once: true });
  });
  const tooLong = new Promise<boolean>((resolve) => setTimeout(resolve, PATIENCE, false));
  return Promise.race([controlled, tooLong]);
}

/**
 * Starts the worker, under the service worker's control where there is one: what it asks for is then kept.
 *
 * A server without the cross-origin headers gets them from the service worker at the next load: the page loads
 * itself once more.
 */
export async function connect(): Promise<Remote<PageWorker>> {
  const isControlled = await registerServiceWorker();
  if (isControlled && !globalThis.crossOriginIsolated && !sessionStorage.getItem('reloaded')) {
    sessionStorage.setItem('reloaded', 'yes');
    location.reload();
  }
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  return wrap<PageWorker>(worker);
}

export const pageFolder = base;

/** A function that the worker may call. */
export const callable = (events: Events): Events => proxy(events);
