/** @file Checkpoints: trained tensors, AdamW's moments and the state of the run in one safetensors file. */
import { z } from 'zod';
import { FileError } from '../../graph-builder/errors.js';
import { type TrainableRun, weightsPath } from '../graphs/manifest.js';
import { baseTensorOf, startValue } from '../weights/initialise.js';
import {
  float32Tensor,
  type LazyTensor,
  type SafetensorsFile,
  withSafetensors,
  writeSafetensors,
} from '../weights/safetensors-file.js';
import {
  type CheckpointName,
  checkExists,
  checkpointPath,
  hasCheckpoint,
  linkCheckpoint,
} from './checkpoint-files.js';

export { type CheckpointName, checkpointPath, hasCheckpoint } from './checkpoint-files.js';

/** What continues a run to the same numbers. */
const stateSchema = z.strictObject({
  /** optimizer updates made */
  step: z.number().int(),
  /** batches drawn: a skipped update counts */
  batches: z.number().int(),
  lossScale: z.number(),
  /** the best evaluation after step 0, by the measure that the options name */
  best: z.strictObject({ step: z.number().int(), score: z.number() }).nullable(),
  /** evaluations since then */
  sinceBest: z.number().int(),
  /** batches at the last evaluation; -1: none yet */
  evaluated: z.number().int(),
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

/** Names of a tensor's moments, as PyTorch's AdamW calls them. */
const momentNames = (name: string) => [`${name}.exp_avg`, `${name}.exp_avg_sq`] as const;

/**
 * Writes a checkpoint atomically: a kill at any moment leaves the one before. Of several names the first is written,
 * the others become links to it in their order.
 *
 * @throws {FileError} when a number is not finite (the checkpoint before stays), or the disk is full.
 */
export function writeCheckpoint(
  run: string,
  names: CheckpointName | readonly CheckpointName[],
  tensors: ReadonlyMap<string, TrainedTensor>,
  state: CheckpointState,
): void {
  const [name, ...others] = [names].flat() as [CheckpointName, ...CheckpointName[]];
  const path = checkpointPath(run, name);
  const all = new Map<string, LazyTensor>();
  for (const [key, { shape, value, expAvg, expAvgSq }] of tensors) {
    const [first, second] = momentNames(key);
    for (const [of, data] of [
      [key, value],
      [first, expAvg],
      [second, expAvgSq],
    ] as const) {
      checkFinite(data, of, path, 'lower --lr; the checkpoint before is kept');
      all.set(of, float32Tensor(shape, data));
    }
  }
  writeSafetensors(path, all, { format: 'mile-ort checkpoint 1', state: JSON.stringify(state) });
  for (const other of others) linkCheckpoint(run, name, other);
}

/** @throws {FileError} naming the first number that is not finite. */
function checkFinite(data: Float32Array, name: string, file: string, remedy: string): void {
  for (let i = 0; i < data.length; i++) {
    if (!Number.isFinite(data[i]!))
      throw new FileError(`${name} holds ${data[i]} at place ${i}`, file, remedy);
  }
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
  const values = file.float32(name);
  checkFinite(values, name, file.path, 'the file is damaged or its training diverged: use another one');
  return values;
}

/** What a checkpoint says of its run, without its tensors. @throws {FileError} when it is missing or damaged. */
export const readCheckpointState = (run: string, name: CheckpointName): CheckpointState =>
  withSafetensors(checkpointPath(run, name), readState);

/** @throws {FileError} when the checkpoint is missing, damaged or of another variant. */
export function readCheckpoint(
  run: string,
  name: CheckpointName,
  { trainable }: TrainableRun,
): { tensors: Map<string, TrainedTensor>; state: CheckpointState } {
  return withSafetensors(checkpointPath(run, name), (file) => {
    const state = readState(file);
    const tensors = trainable.map(({ name: key, shape }): [string, TrainedTensor] => {
      const [first, second] = momentNames(key);
      const read = (n: string) => float32Of(file, n, shape);
      return [key, { shape, value: read(key), expAvg: read(first), expAvgSq: read(second) }];
    });
    return { tensors: new Map(tensors), state };
  });
}

/** The value that a trainable tensor starts with. */
function initialValue(
  file: SafetensorsFile,
  tensor: TrainableRun['trainable'][number],
  seed: number,
): Float32Array {
  const base = baseTensorOf(tensor);
  if (base === undefined) return startValue(tensor, seed);
  return startValue(tensor, seed, tensor.added ? file.float32(base) : float32Of(file, base, tensor.shape));
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
 *
 * @throws {FileError} with the names that there are, when there is no such checkpoint.
 */
export function trainedValues(
  run: string,
  manifest: TrainableRun,
  which: CheckpointName | 'base' | 'auto' = 'auto',
): Map<string, { shape: readonly number[]; value: Float32Array }> {
  const name =
    which === 'auto' ? ((['best', 'last'] as const).find((n) => hasCheckpoint(run, n)) ?? 'base') : which;
  if (name === 'base') return initialTensors(run, manifest);
  checkExists(run, name);
  return withSafetensors(checkpointPath(run, name), (file) => {
    const values = manifest.trainable.map(
      ({ name: key, shape }) => [key, { shape, value: float32Of(file, key, shape) }] as const,
    );
    return new Map(values);
  });
}
