/** @file The one file that touches onnxruntime-web: WebAssembly and WebGPU in browsers, WebAssembly in Node. */
import type { Env, InferenceSession, Tensor as OrtTensor } from 'onnxruntime-web';
import { UserError } from '../../graph-builder/errors.js';
import { type ElementType, wrapSession } from '../core/ort-session.js';
import type { Session, Tensor } from '../core/session.js';
import { leastMemory, ReadErrors } from './lazy-bytes.js';

export const webDevices = ['webgpu', 'wasm'] as const;
export type WebDevice = (typeof webDevices)[number];

/**
 * The bytes of a file that external weights name. A Blob is read when the session opens: in workers only the tensors
 * that the graph names, one at a time.
 */
export interface ExternalData {
  readonly path: string;
  readonly data: Uint8Array | Blob;
}

export interface OpenOptions {
  /** what computes; default: wasm. On webgpu, operators without a kernel there run on the CPU */
  readonly device?: WebDevice;
  /** copied into WebAssembly's memory, which ends at 4 GB */
  readonly externalData?: readonly ExternalData[];
  /**
   * Threads inside an operator, set by the first session of the page or process. More than one needs a
   * cross-origin isolated page; in Node ONNX Runtime supports one. Default: 1.
   */
  readonly threads?: number;
  /** false: weights are not packed a second time, which halves the memory of the products */
  readonly prepacking?: boolean;
}

/** The part of the package that is used. */
interface Runtime {
  readonly env: Env;
  readonly InferenceSession: typeof InferenceSession;
  readonly Tensor: typeof OrtTensor;
}

// the WebGPU build also has the CPU's kernels, twice as large and slower there: each device loads its own
const entries: Record<WebDevice, () => Promise<Runtime>> = {
  wasm: () => import('#onnxruntime-wasm'),
  webgpu: () => import('#onnxruntime-webgpu'),
};

let wasmFolder: string | undefined;

/** Folder URL of ONNX Runtime's .wasm and .mjs files, before the first session; default: beside its script. */
export function setWasmFolder(url: string): void {
  wasmFolder = url;
}

async function runtimeOf(device: WebDevice): Promise<Runtime> {
  const runtime = await entries[device]();
  if (wasmFolder) runtime.env.wasm.wasmPaths = wasmFolder;
  return runtime;
}

/** e.g. '1.30.0' */
export async function runtimeVersion(): Promise<string> {
  const { versions } = (await runtimeOf('wasm')).env;
  return versions.web ?? versions.common;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** As ONNX Runtime, Emscripten and the browsers' engines say it. */
const MEMORY =
  /bad.?alloc|out of memory|\bOOM\b|failed to allocate|allocation failed|cannot enlarge memory|memory access out of bounds/i;

const memoryError = (cause: unknown): UserError =>
  new UserError(
    'the memory of this tab ran out',
    `ONNX Runtime (WebAssembly ends at 4 GB): ${messageOf(cause).split('\n')[0]!.slice(0, 200)}`,
    'load the page again and train fewer questions a step, or make the model smaller: ort-weights export-web --quantize int8',
    { cause },
  );

function loadError(error: unknown, device: WebDevice): UserError {
  const message = messageOf(error);
  if (MEMORY.test(message)) return memoryError(error);
  return new UserError(
    `cannot load the graph: ${message.split('\n')[0]!.slice(0, 300)}`,
    `ONNX Runtime (${device === 'wasm' ? 'WebAssembly' : 'WebGPU'})`,
    'give each file that the graph names as externalData',
    { cause: error },
  );
}

function readError(error: unknown): UserError {
  return new UserError(
    `cannot read the weights any more: ${messageOf(error)}`,
    "the browser's storage, or the chosen files",
    'load the page again (not in a private window, which keeps files in memory); choose the files again if you chose them',
    { cause: error },
  );
}

/**
 * Loads a graph from its bytes.
 *
 * WebAssembly cannot flush denormal numbers, on which it is some hundred times slower: the backward pass must
 * start from a large loss_scale. Results are new arrays: ONNX Runtime does not write into given ones here.
 *
 * @throws {UserError} when ONNX Runtime refuses the graph or its weights, or the device does not start.
 */
export async function openSession(model: Uint8Array, options: OpenOptions = {}): Promise<Session> {
  const { device = 'wasm', externalData = [], threads = 1, prepacking = true } = options;
  let runtime: Runtime;
  let session: InferenceSession;
  const errors = new ReadErrors();
  try {
    runtime = await runtimeOf(device);
    runtime.env.wasm.numThreads = threads;
    session = await runtime.InferenceSession.create(model, {
      executionProviders: [device],
      logSeverityLevel: 3,
      externalData: externalData.map(({ path, data }) => ({ path, data: leastMemory(data, errors) })),
      ...(!prepacking && { extra: { session: { disable_prepacking: '1' } } }),
    });
  } catch (error) {
    throw errors.last === undefined ? loadError(error, device) : readError(errors.last);
  }
  const makeTensor = (type: ElementType, { data, dims }: Tensor) =>
    new runtime.Tensor(type, data as Float32Array, dims);
  const wrapped = wrapSession(session, makeTensor);
  return {
    ...wrapped,
    async run(feeds, outputs) {
      try {
        return await wrapped.run(feeds, outputs);
      } catch (error) {
        throw MEMORY.test(messageOf(error)) ? memoryError(error) : error;
      }
    },
  };
}
