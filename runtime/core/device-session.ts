/** @file Sessions whose outputs may stay in the memory of the device that computed them. */
import type { Tensor } from './session.js';

/** A tensor in a device's memory. Only sessions on that device can read it. */
export interface DeviceTensor {
  readonly dims: readonly number[];
  /** gives its memory back */
  dispose(): void;
}

/** A tensor of the host or of a device. */
export type Located = Tensor | DeviceTensor;

/** One loaded graph. Outputs that it was told to keep on the device are {@link DeviceTensor}s. */
export interface DeviceSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /** Computes the named outputs (default: all). Extra feeds are ignored. */
  run(
    feeds: Readonly<Record<string, Located>>,
    outputs?: readonly string[],
  ): Promise<Record<string, Located>>;
  release(): Promise<void>;
}

/** A tensor that the host can read. */
export function onHost(tensor: Located | undefined): Tensor {
  if (tensor && 'data' in tensor) return tensor;
  throw new Error('internal: expected a tensor of the host');
}

/** Frees the tensors that lie on a device. */
export function dispose(tensors: Iterable<Located>): void {
  for (const tensor of tensors) if ('dispose' in tensor) tensor.dispose();
}
