/** @file What onnxruntime-node's and onnxruntime-web's sessions have in common. */
import type { Feeds, Session, Tensor, TensorData } from './session.js';

export type ElementType = 'float32' | 'int32' | 'int64' | 'uint8';

const types = new Map<unknown, ElementType>([
  [Float32Array, 'float32'],
  [Int32Array, 'int32'],
  [BigInt64Array, 'int64'],
  [Uint8Array, 'uint8'],
]);

interface OrtTensor {
  readonly data: unknown;
  readonly dims: readonly number[];
}

/** The part of `InferenceSession` that is used; `T` is the package's own tensor. */
interface OrtSession<T extends OrtTensor> {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Record<string, T>, outputs: string[]): Promise<Readonly<Record<string, OrtTensor>>>;
  release(): Promise<void>;
}

/** A package's session as the core sees it. Feeds that the graph does not take are left out. */
export function wrapSession<T extends OrtTensor>(
  session: OrtSession<T>,
  makeTensor: (type: ElementType, tensor: Tensor) => T,
  onRelease: () => void = () => {},
): Session {
  const wanted = new Set(session.inputNames);
  const toOrt = (tensor: Tensor): T => makeTensor(types.get(tensor.data.constructor)!, tensor);
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    async run(feeds: Feeds, outputs = session.outputNames) {
      const given = Object.entries(feeds).filter(([name]) => wanted.has(name));
      const inputs = Object.fromEntries(given.map(([name, tensor]) => [name, toOrt(tensor)]));
      const results = await session.run(inputs, [...outputs]);
      const entries = outputs.map((n) => [
        n,
        { data: results[n]!.data as TensorData, dims: results[n]!.dims },
      ]);
      return Object.fromEntries(entries);
    },
    async release() {
      onRelease();
      await session.release();
    },
  };
}
