/** @file The page of ort-serve in Chromium, with its memory watched from outside and from inside. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type Page } from 'playwright-core';
import { watchMemory } from '../../../runtime/node/memory.js';
import { serve } from '../../../runtime/node/serve/server.js';
import { type Site, siteOf } from '../../../runtime/node/serve/site.js';
import { findBrowser } from '../../browser/find-browser.js';

/** Bytes. */
export interface TabMemory {
  /** largest proportional set size of the tab's processes */
  readonly peakPss: number;
  /** of all other processes of the browser, at the end */
  readonly browserPss: number;
  /** WebAssembly's memory, which only grows */
  readonly wasm: number;
  /** JavaScript's heaps of page and workers with their buffers, at the end, after a garbage collection */
  readonly javascript: number;
}

export interface Tab {
  readonly page: Page;
  memory(): Promise<TabMemory>;
  close(): Promise<void>;
}

/** Of a process: its parent and command line. */
function processes(): { pid: number; parent: number; command: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
        return [{ pid: Number(name), parent, command: readFileSync(`/proc/${name}/cmdline`, 'utf8') }];
      } catch {
        return []; // ended
      }
    });
}

/** The browser's own processes, apart by whether they are a tab's. */
function processesOf(browser: number): { tab: number[]; other: number[] } {
  const all = processes();
  const found = new Set([browser]);
  for (let size = 0; size < found.size; ) {
    size = found.size;
    for (const { pid, parent } of all) if (found.has(parent)) found.add(pid);
  }
  const own = all.filter(({ pid }) => found.has(pid));
  const isTab = ({ command }: { command: string }) => command.includes('--type=renderer');
  return { tab: own.filter(isTab).map((p) => p.pid), other: own.filter((p) => !isTab(p)).map((p) => p.pid) };
}

/** In front of ONNX Runtime's script: the worker keeps hold of the memory that it makes. */
const KEEP_MEMORY = `{
  const Original = WebAssembly.Memory;
  globalThis.wasmMemories ??= [];
  WebAssembly.Memory = class extends Original {
    constructor(options) {
      super(options);
      if (options.initial > 0) globalThis.wasmMemories.push(this);
    }
  };
}
`;

function watchedSite(runs: readonly string[]): Site {
  const site = new Map(siteOf(runs));
  for (const [path, file] of site) {
    if (!/^ort\/.*\.mjs$/.test(path)) continue;
    const text = KEEP_MEMORY + readFileSync(file.content as string, 'utf8');
    site.set(path, { ...file, content: () => Buffer.from(text) });
  }
  return site;
}

async function wasmBytes(page: Page): Promise<number> {
  // the workers of ONNX Runtime's threads sleep and answer nothing: the page's own is the first
  const [worker] = page.workers();
  return (
    (await worker?.evaluate(() =>
      (globalThis as unknown as { wasmMemories?: WebAssembly.Memory[] }).wasmMemories?.reduce(
        (n, { buffer }) => n + buffer.byteLength,
        0,
      ),
    )) ?? 0
  );
}

/** What Chromium itself counts, but for memory that threads share: that is WebAssembly's. */
const javascriptBytes = (page: Page): Promise<number> =>
  page.evaluate(async () => {
    const { breakdown } = await (
      performance as unknown as {
        measureUserAgentSpecificMemory(): Promise<{ breakdown: { bytes: number; types: string[] }[] }>;
      }
    ).measureUserAgentSpecificMemory();
    return breakdown
      .filter(({ types }) => types.includes('JavaScript'))
      .reduce((n, { bytes }) => n + bytes, 0);
  });

/** Starts the browser; its only tab shows the page. `query`: e.g. '?device=wasm'. */
export async function openTab(runs: readonly string[], query = '?device=wasm'): Promise<Tab> {
  const program = findBrowser();
  if (!program) throw new Error('no chromium: apt-get install chromium, or set $CHROMIUM to its program');
  const server = await serve(watchedSite(runs), { host: '127.0.0.1', port: 0 });
  // a profile on disk, as users have: the storage of private windows is in memory
  const profile = mkdtempSync(join(tmpdir(), 'mile-ort-profile-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: program,
    args: ['--no-sandbox'],
    viewport: { width: 1200, height: 850 },
  });
  const pid = processes().find(({ command }) => command.includes(`--user-data-dir=${profile}`))!.pid;
  const [page] = context.pages() as [Page];
  const watch = watchMemory(() => processesOf(pid).tab);
  await page.addInitScript(() => {
    // no program can press the buttons of the browser's own folder dialog
    Object.defineProperty(globalThis, 'showDirectoryPicker', { value: undefined });
  });
  await page.goto(`${server.url}${query}`);
  await page.locator('[data-device]').waitFor();
  return {
    page,
    async memory() {
      const wasm = await wasmBytes(page);
      const javascript = await javascriptBytes(page);
      return {
        peakPss: watch.stop(),
        browserPss: watchMemory(processesOf(pid).other).stop(),
        wasm,
        javascript,
      };
    },
    async close() {
      watch.stop();
      await context.close();
      await server.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

/** The memory as columns of a table, GB. */
export const memoryColumns = ({ peakPss, browserPss, wasm, javascript }: TabMemory) => ({
  'wasm GB': wasm / 1e9,
  'JS GB': javascript / 1e9,
  'tab peak GB': peakPss / 1e9,
  'browser GB': browserPss / 1e9,
});

/** Never ends well: fails with the first error that the page shows, or when the tab dies. */
export function problemsOf(page: Page): Promise<never> {
  const shown = page.locator('.problem').first();
  const refused = shown.waitFor({ timeout: 0 }).then(async (): Promise<never> => {
    throw new Error(`the page says: ${await shown.innerText()}`);
  });
  const crashed = new Promise<never>((_, reject) =>
    page.once('crash', () => reject(new Error('the tab crashed: out of memory'))),
  );
  const both = Promise.race([refused, crashed]);
  both.catch(() => undefined); // when nobody waits any more
  return both;
}
