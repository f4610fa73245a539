/** @file What computes in this browser, and why. */
import { UserError } from '../../graph-builder/errors.js';
import { type WebDevice, webDevices } from './ort.js';

export interface Choice {
  readonly device: WebDevice;
  /** of the WebAssembly part */
  readonly threads: number;
  /** more than one thread needs a cross-origin isolated page */
  readonly isolated: boolean;
  /** the user asked for this device: another is no silent substitute */
  readonly forced: boolean;
}

/** Threads of a wasm session are workers of their own; more than the cores of a laptop do not help. */
const MOST_THREADS = 8;

interface Gpu {
  requestAdapter(): Promise<{
    readonly info?: { readonly isFallbackAdapter?: boolean; readonly architecture?: string };
  } | null>;
}

/** none: no adapter; software: one without a graphics card, slower than WebAssembly. */
async function findGpu(): Promise<'none' | 'software' | 'card'> {
  const { gpu } = navigator as unknown as { gpu?: Gpu };
  const adapter = await gpu?.requestAdapter().catch(() => null);
  if (!adapter) return 'none';
  const { isFallbackAdapter, architecture } = adapter.info ?? {};
  return isFallbackAdapter || architecture === 'swiftshader' ? 'software' : 'card';
}

/** @throws {UserError} for a word that names no device. */
export function parseDevice(word: string | null | undefined): WebDevice | 'auto' {
  if (!word || word === 'auto') return 'auto';
  if ((webDevices as readonly string[]).includes(word)) return word as WebDevice;
  throw new UserError(`unknown device '${word}'`, '?device=', `choose from auto, ${webDevices.join(', ')}`);
}

/**
 * `auto`: WebGPU where a graphics card answers, else WebAssembly.
 *
 * @throws {UserError} when WebGPU is asked for and there is none.
 */
export async function chooseDevice(wanted: WebDevice | 'auto' = 'auto', threads?: number): Promise<Choice> {
  const isolated = globalThis.crossOriginIsolated === true;
  const cores = Math.min(MOST_THREADS, navigator.hardwareConcurrency ?? 1);
  const common = { threads: isolated ? (threads ?? cores) : 1, isolated, forced: wanted !== 'auto' };
  if (wanted === 'wasm') return { ...common, device: 'wasm' };
  const found = await findGpu();
  if (wanted === 'webgpu' && found === 'none')
    throw new UserError(
      'this browser offers no WebGPU adapter',
      '?device=webgpu',
      'leave it out, or use ?device=wasm',
    );
  return { ...common, device: wanted === 'webgpu' || found === 'card' ? 'webgpu' : 'wasm' };
}
