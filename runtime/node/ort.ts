/** @file The one file that touches onnxruntime-node. */
import { env, InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { FileError } from '../../graph-builder/errors.js';
import type { Feeds, Session, Tensor, TensorData } from '../core/session.js';

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

const types = new Map<unknown, OrtTensor.Type>([
  [Float32Array, 'float32'],
  [Int32Array, 'int32'],
  [BigInt64Array, 'int64'],
  [Uint8Array, 'uint8'],
]);

const toOrt = ({ data, dims }: Tensor): OrtTensor =>
  new OrtTensor(types.get(data.constructor)!, data as Float32Array, dims);

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
      logSeverityLevel: 3,
      extra: { session: config },
      ...(threads && { intraOpNumThreads: threads }),
      ...(profilePrefix && { enableProfiling: true, profileFilePrefix: profilePrefix }),
    });
  } catch (error) {
    throw loadError(error, path);
  }
  const wanted = new Set(session.inputNames);
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    async run(feeds: Feeds, outputs = session.outputNames) {
      const given: Record<string, OrtTensor> = {};
      for (const [name, tensor] of Object.entries(feeds)) if (wanted.has(name)) given[name] = toOrt(tensor);
      const results = await session.run(given, [...outputs]);
      return Object.fromEntries(
        outputs.map((n) => [n, { data: results[n]!.data as TensorData, dims: results[n]!.dims }]),
      );
    },
    release: async () => {
      if (profilePrefix) session.endProfiling();
      await session.release();
    },
  };
}
