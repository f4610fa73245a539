/** @file Checkpoints: trained tensors, AdamW's moments and the state of the run in one safetensors file. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { FileError } from '../../graph-builder/errors.js';
import { type TrainableRun, weightsPath } from '../graphs/manifest.js';
import { initialValues, rowNorms } from '../weights/initialise.js';
import {
  float32Tensor,
  type LazyTensor,
  type SafetensorsFile,
  withSafetensors,
  writeSafetensors,
} from '../weights/safetensors-file.js';

/** What continues a run to the same numbers. */
const stateSchema = z.strictObject({
  /** optimizer updates made */
  step: z.number().int(),
  /** batches drawn: a skipped update counts */
  batches: z.number().int(),
  lossScale: z.number(),
  best: z.strictObject({ step: z.number().int(), accuracy: z.number() }).nullable(),
  options: z.record(z.string(), z.unknown()),
  /** what bit-identity depends on: runtime version, CPU, threads */
  environment: z.record(z.string(), z.string()),
});
export type CheckpointState = z.infer<typeof stateSchema>;

export interface TrainedTensor {
  readonly shape: readonly number[];
  readonly value: Float32Array;
  readonly expAvg: Float32Array;
  readonly expAvgSq: Float32Array;
}

export const checkpointNames = { last: 'last.safetensors', best: 'best.safetensors' } as const;
export type CheckpointName = keyof typeof checkpointNames;

export const checkpointPath = (run: string, name: CheckpointName): string =>
  join(run, 'checkpoint', checkpointNames[name]);

export const hasCheckpoint = (run: string, name: CheckpointName = 'last'): boolean =>
  existsSync(checkpointPath(run, name));

/** Deletes what a kill left half-written and, for a training from the start, the checkpoints of the one before. */
export function clearCheckpoints(run: string, keepWhole: boolean): void {
  const folder = join(run, 'checkpoint');
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    if (!keepWhole || name.endsWith('.tmp')) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/** Names of a tensor's moments, as PyTorch's AdamW calls them. */
const momentNames = (name: string) => [`${name}.exp_avg`, `${name}.exp_avg_sq`] as const;

/** Writes a checkpoint atomically: a kill at any moment leaves the one before. */
export function writeCheckpoint(
  run: string,
  name: CheckpointName,
  tensors: ReadonlyMap<string, TrainedTensor>,
  state: CheckpointState,
): void {
  const all = new Map<string, LazyTensor>();
  for (const [key, { shape, value, expAvg, expAvgSq }] of tensors) {
    const [first, second] = momentNames(key);
    all.set(key, float32Tensor(shape, value));
    all.set(first, float32Tensor(shape, expAvg));
    all.set(second, float32Tensor(shape, expAvgSq));
  }
  writeSafetensors(checkpointPath(run, name), all, {
    format: 'mile-ort checkpoint 1',
    state: JSON.stringify(state),
  });
}

function readState(file: SafetensorsFile): CheckpointState {
  let state: unknown;
  try {
    state = JSON.parse(file.header.metadata.state ?? '');
  } catch {
    state = undefined;
  }
  const parsed = stateSchema.safeParse(state);
  if (!parsed.success)
    throw new FileError('not a checkpoint of this program', file.path, 'train again, or use another run');
  return parsed.data;
}

function float32Of(file: SafetensorsFile, name: string, shape: readonly number[]): Float32Array {
  const { shape: stored } = file.entry(name);
  if (stored.join() !== shape.join()) {
    throw new FileError(
      `${name} has the shape [${stored}], the run needs [${shape}]`,
      file.path,
      'use a checkpoint of this run',
    );
  }
  return file.float32(name);
}

/** @throws {FileError} when the checkpoint is missing, damaged or of another variant. */
export function readCheckpoint(
  run: string,
  name: CheckpointName,
  { trainable }: TrainableRun,
): { tensors: Map<string, TrainedTensor>; state: CheckpointState } {
  return withSafetensors(checkpointPath(run, name), (file) => {
    const tensors = trainable.map(({ name: key, shape }): [string, TrainedTensor] => {
      const [first, second] = momentNames(key);
      const read = (n: string) => float32Of(file, n, shape);
      return [key, { shape, value: read(key), expAvg: read(first), expAvgSq: read(second) }];
    });
    return { tensors: new Map(tensors), state: readState(file) };
  });
}

/** The value that a trainable tensor starts with. */
function initialValue(
  file: SafetensorsFile,
  tensor: TrainableRun['trainable'][number],
  seed: number,
): Float32Array {
  const { name, shape, init, added } = tensor;
  if (!added) return float32Of(file, name, shape);
  if (init === 'rowNorms') {
    const weight = file.float32(name.replace(/lora_magnitude_vector$/, 'weight'));
    return rowNorms(
      weight,
      shape.reduce((p, n) => p * n, 1),
    );
  }
  return initialValues({ kind: 'parameter', name, dtype: 'float32', shape, init, trainable: true }, seed);
}

/** Tensors at step 0: T modules from the base weights, adapters from the run's seed. */
export function initialTensors(run: string, manifest: TrainableRun): Map<string, TrainedTensor> {
  return withSafetensors(weightsPath(run, manifest), (file) => {
    const tensors = manifest.trainable.map((tensor): [string, TrainedTensor] => {
      const { name, shape } = tensor;
      const value = initialValue(file, tensor, manifest.seed);
      const zeros = () => new Float32Array(value.length);
      return [name, { shape, value, expAvg: zeros(), expAvgSq: zeros() }];
    });
    return new Map(tensors);
  });
}

/**
 * Trained values alone, for answering: of the best checkpoint, else the last, else the initial ones (the base).
 */
export function trainedValues(
  run: string,
  manifest: TrainableRun,
  which: CheckpointName | 'base' | 'auto' = 'auto',
): Map<string, { shape: readonly number[]; value: Float32Array }> {
  const name =
    which === 'auto' ? ((['best', 'last'] as const).find((n) => hasCheckpoint(run, n)) ?? 'base') : which;
  if (name === 'base') return initialTensors(run, manifest);
  if (!hasCheckpoint(run, name))
    throw new FileError(
      'no such checkpoint',
      checkpointPath(run, name),
      'train the run with ort-train first',
    );
  return withSafetensors(checkpointPath(run, name), (file) => {
    const values = manifest.trainable.map(
      ({ name: key, shape }) => [key, { shape, value: float32Of(file, key, shape) }] as const,
    );
    return new Map(values);
  });
}
