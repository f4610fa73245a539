/** @file What onnxruntime-node's and onnxruntime-web's sessions have in common. */
import type { DeviceSession, DeviceTensor, Located } from './device-session.js';
import type { Session, Tensor, TensorData } from './session.js';

export type ElementType = 'float32' | 'int32' | 'int64' | 'uint8';

const types = new Map<unknown, ElementType>([
  [Float32Array, 'float32'],
  [Int32Array, 'int32'],
  [BigInt64Array, 'int64'],
  [Uint8Array, 'uint8'],
]);

interface OrtTensor {
  /** throws where the tensor is not in the host's memory */
  readonly data: unknown;
  readonly dims: readonly number[];
  readonly location: string;
  dispose(): void;
}

/** The part of `InferenceSession` that is used; `T` is the package's own tensor. */
interface OrtSession<T extends OrtTensor> {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Record<string, T>, outputs: string[]): Promise<Readonly<Record<string, OrtTensor>>>;
  release(): Promise<void>;
}

/** The package's own tensor of a device. */
class OrtDeviceTensor implements DeviceTensor {
  constructor(readonly tensor: OrtTensor) {}

  get dims(): readonly number[] {
    return this.tensor.dims;
  }

  dispose(): void {
    this.tensor.dispose();
  }
}

const located = (tensor: OrtTensor): Located =>
  tensor.location === 'gpu-buffer'
    ? new OrtDeviceTensor(tensor)
    : { data: tensor.data as TensorData, dims: tensor.dims };

/** A package's session as the core sees it. Feeds that the graph does not take are left out. */
export function wrapDeviceSession<T extends OrtTensor>(
  session: OrtSession<T>,
  makeTensor: (type: ElementType, tensor: Tensor) => T,
  onRelease: () => void = () => {},
): DeviceSession {
  const wanted = new Set(session.inputNames);
  const toOrt = (tensor: Located): T =>
    tensor instanceof OrtDeviceTensor
      ? (tensor.tensor as T)
      : makeTensor(types.get((tensor as Tensor).data.constructor)!, tensor as Tensor);
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    async run(feeds, outputs = session.outputNames) {
      const given = Object.entries(feeds).filter(([name]) => wanted.has(name));
      const inputs = Object.fromEntries(given.map(([name, tensor]) => [name, toOrt(tensor)]));
      const results = await session.run(inputs, [...outputs]);
      return Object.fromEntries(outputs.map((n) => [n, located(results[n]!)]));
    },
    async release() {
      onRelease();
      await session.release();
    },
  };
}

/** {@link wrapDeviceSession} of a session that keeps nothing on a device. */
export const wrapSession = <T extends OrtTensor>(
  session: OrtSession<T>,
  makeTensor: (type: ElementType, tensor: Tensor) => T,
  onRelease?: () => void,
): Session => wrapDeviceSession(session, makeTensor, onRelease) as Session;
