/** @file The one file that touches onnxruntime-node. */
import { env, InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { FileError } from '../../graph-builder/errors.js';
import { type ElementType, wrapSession } from '../core/ort-session.js';
import type { Session, Tensor } from '../core/session.js';

export interface OpenOptions {
  /** folder of the files that external weights name */
  readonly weightsFolder?: string;
  /** threads inside an operator; default: ONNX Runtime's own choice, the physical cores */
  readonly threads?: number;
  /** false: weights stay mapped from their file, shared by all sessions and processes; true: packed copies */
  readonly prepacking?: boolean;
  readonly profilePrefix?: string;
}

/** e.g. '1.30.0' */
export const runtimeVersion = (): string => env.versions.node ?? env.versions.common;

/** ONNX Runtime's messages name the file of a weight that does not fit; the rest is for developers. */
function loadError(error: unknown, path: string): unknown {
  const message = error instanceof Error ? error.message : String(error);
  const first = message.split('\n')[0]!.slice(0, 300);
  return new FileError(`cannot load the graph: ${first}`, path, 'build the run again with build-graph', {
    cause: error,
  });
}

/**
 * Loads a graph from its file, so that weights are mapped and not copied.
 *
 * Denormal numbers are flushed to zero (a factor of 100 on gradients of a frozen-heavy model otherwise); this
 * holds for the whole process and for JavaScript's arithmetic on this thread.
 *
 * @throws {FileError} when ONNX Runtime refuses the graph or its weights.
 */
export async function openSession(path: string, options: OpenOptions = {}): Promise<Session> {
  const { weightsFolder, threads, prepacking = true, profilePrefix } = options;
  const config = {
    set_denormal_as_zero: '1',
    ...(prepacking ? {} : { disable_prepacking: '1' }),
    ...(weightsFolder && { model_external_initializers_file_folder_path: weightsFolder }),
  };
  let session: InferenceSession;
  try {
    session = await InferenceSession.create(path, {
      executionProviders: ['cpu'],
      logSeverityLevel: 4,
      extra: { session: config },
      ...(threads && { intraOpNumThreads: threads }),
      ...(profilePrefix && { enableProfiling: true, profileFilePrefix: profilePrefix }),
    });
  } catch (error) {
    throw loadError(error, path);
  }
  const makeTensor = (type: ElementType, { data, dims }: Tensor) =>
    new OrtTensor(type, data as Float32Array, dims);
  return wrapSession(session, makeTensor, () => profilePrefix && session.endProfiling());
}
