/** @file The one file that touches onnxruntime-web: its WebAssembly provider, in browsers and in Node. */
import { env, InferenceSession, Tensor as OrtTensor } from 'onnxruntime-web';
import { UserError } from '../../graph-builder/errors.js';
import { type ElementType, wrapSession } from '../core/ort-session.js';
import type { Session, Tensor } from '../core/session.js';

/** The bytes of a file that external weights name. */
export interface ExternalData {
  readonly path: string;
  readonly data: Uint8Array;
}

export interface OpenOptions {
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

/** e.g. '1.30.0' */
export const runtimeVersion = (): string => env.versions.web ?? env.versions.common;

function loadError(error: unknown): UserError {
  const message = error instanceof Error ? error.message : String(error);
  return new UserError(
    `cannot load the graph: ${message.split('\n')[0]!.slice(0, 300)}`,
    'ONNX Runtime (WebAssembly)',
    'give each file that the graph names as externalData, or a smaller model if memory ran out',
    { cause: error },
  );
}

/**
 * Loads a graph from its bytes.
 *
 * WebAssembly cannot flush denormal numbers, on which it is some hundred times slower: the backward pass must
 * start from a large loss_scale. Results are new arrays: ONNX Runtime does not write into given ones here.
 *
 * @throws {UserError} when ONNX Runtime refuses the graph or its weights.
 */
export async function openSession(model: Uint8Array, options: OpenOptions = {}): Promise<Session> {
  const { externalData = [], threads = 1, prepacking = true } = options;
  env.wasm.numThreads = threads;
  let session: InferenceSession;
  try {
    session = await InferenceSession.create(model, {
      executionProviders: ['wasm'],
      logSeverityLevel: 3,
      externalData,
      ...(!prepacking && { extra: { session: { disable_prepacking: '1' } } }),
    });
  } catch (error) {
    throw loadError(error);
  }
  const makeTensor = (type: ElementType, { data, dims }: Tensor) =>
    new OrtTensor(type, data as Float32Array, dims);
  return wrapSession(session, makeTensor);
}
