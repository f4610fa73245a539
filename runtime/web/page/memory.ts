/** @file How much memory the tab and its worker hold. */
import { change } from './state.js';

/** Chromium's; other browsers do not tell. */
interface Measuring {
  measureUserAgentSpecificMemory?(): Promise<{ readonly bytes: number }>;
}

let isMeasuring = false;

/** Takes until the browser's next garbage collection; only one at a time. */
export async function measureMemory(): Promise<void> {
  const measuring = performance as unknown as Measuring;
  if (isMeasuring || !globalThis.crossOriginIsolated || !measuring.measureUserAgentSpecificMemory) return;
  isMeasuring = true;
  try {
    change({ memory: (await measuring.measureUserAgentSpecificMemory()).bytes });
  } catch {
    // not allowed here
  } finally {
    isMeasuring = false;
  }
}
