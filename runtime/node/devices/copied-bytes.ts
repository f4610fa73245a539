/** @file What a step copies between host and device. */
import type { TrainableRun } from '../../../training-artifacts/graphs/manifest.js';
import type { Device } from './device.js';

export interface CopiedBytes {
  /** trained tensors, at each step; the batch comes on top */
  readonly toDevice: number;
  /** gradients, at each step; losses come on top */
  readonly fromDevice: number;
}

/**
 * Bytes of trained tensors and gradients that cross the bus at each micro-batch.
 *
 * @example copiedBytes(manifest, 'cuda') // { toDevice: 589824, fromDevice: 589824 } of 147,456 trained numbers
 */
export function copiedBytes({ trainable }: Pick<TrainableRun, 'trainable'>, device: Device): CopiedBytes {
  if (device === 'cpu' || device === 'webgpu') return { toDevice: 0, fromDevice: 0 };
  const numbers = trainable.reduce((n, { shape }) => n + shape.reduce((p, d) => p * d, 1), 0);
  return { toDevice: 4 * numbers, fromDevice: 4 * numbers };
}
