/** @file Where a training run starts: from its initial values or its last checkpoint. */
import { cpus } from 'node:os';
import { FileError } from '../../../graph-builder/errors.js';
import { HALF_LOSS_SCALE } from '../../../graph-builder/rewrites/half-precision.js';
import {
  type CheckpointState,
  checkpointPath,
  initialTensors,
  readCheckpoint,
  type TrainedTensor,
} from '../../../training-artifacts/checkpoint/checkpoint.js';
import type {
  ImportedManifest,
  Manifest,
  TrainableRun,
} from '../../../training-artifacts/graphs/manifest.js';
import { readOrtCheckpoint } from '../../../training-artifacts/ort-training/read-checkpoint.js';
import { INITIAL_LOSS_SCALE } from '../../core/trainer.js';
import { runtimeVersion } from '../ort.js';
import type { TrainingJob } from './events.js';
import { initFrom } from './init-from.js';
import { type TrainOptions, trainOptionsSchema } from './options.js';

/** What bit-identity depends on beside the options. */
function environmentOf(options: TrainOptions): Record<string, string> {
  return {
    onnxruntime: runtimeVersion(),
    node: process.version, // its cosine makes the learning rate
    platform: `${process.platform} ${process.arch}`,
    cpu: cpus()[0]?.model ?? 'unknown',
    threads: String(options.threads ?? `${cpus().length} cores, default`),
  };
}

const initialLossScale = ({ precision }: TrainableRun): number =>
  precision === 'float16' ? HALF_LOSS_SCALE : INITIAL_LOSS_SCALE;

export interface Restored {
  readonly tensors: Map<string, TrainedTensor>;
  readonly state: CheckpointState;
  readonly options: TrainOptions;
  /** what differs from the environment of the checkpoint */
  readonly notes: readonly string[];
}

/** The options of a checkpoint. @throws {FileError} when another version wrote them. */
export function savedOptions(run: string, state: CheckpointState): TrainOptions {
  const parsed = trainOptionsSchema.safeParse(state.options);
  if (parsed.success) return parsed.data;
  const { message, path } = parsed.error.issues[0]!;
  throw new FileError(
    `its training options do not fit: ${message}${path.length > 0 ? ` at ${path.join('.')}` : ''}`,
    checkpointPath(run, 'last'),
    'another version wrote it: train again with --overwrite',
  );
}

/** Goes on where Python's onnxruntime-training stopped: its updates count as batches drawn. */
function fromOrtCheckpoint(file: string, options: TrainOptions, manifest: TrainableRun): Restored {
  const { tensors, step, hasMoments } = readOrtCheckpoint(file, manifest);
  const counts = { step, batches: step, lossScale: initialLossScale(manifest) };
  const judged = { best: null, sinceBest: 0, evaluated: step };
  const notes = hasMoments ? [] : ['the checkpoint has no optimizer state: AdamW starts anew'];
  return {
    tensors,
    state: { ...counts, ...judged, options, environment: environmentOf(options) },
    options,
    notes,
  };
}

/** @throws {FileError} when the checkpoint is damaged or of another variant; {@link UserError} of `initFrom`. */
export function restore(job: TrainingJob, manifest: Manifest | ImportedManifest): Restored {
  const { run, options, resume, ortCheckpoint } = job;
  if (ortCheckpoint) return fromOrtCheckpoint(ortCheckpoint, options, manifest);
  if (!resume) {
    const environment = environmentOf(options);
    const counts = { step: 0, batches: 0, lossScale: initialLossScale(manifest) };
    const judged = { best: null, sinceBest: 0, evaluated: -1 };
    const started = options.initFrom === null ? undefined : initFrom(options.initFrom, manifest);
    const known = { ...options, initSha256: started?.sha256 ?? null };
    return {
      tensors: started?.tensors ?? initialTensors(run, manifest),
      state: { ...counts, ...judged, options: known, environment },
      options: known,
      notes: started ? [started.note] : [],
    };
  }
  const { tensors, state } = readCheckpoint(run, 'last', manifest);
  const saved = savedOptions(run, state);
  const now = environmentOf(saved);
  const notes = Object.keys(now)
    .filter((key) => now[key] !== state.environment[key])
    .map(
      (key) => `${key} was ${state.environment[key]}, is ${now[key]}: losses may differ in the last digits`,
    );
  return {
    tensors,
    state: { ...state, environment: { ...state.environment, ...now } },
    options: saved,
    notes,
  };
}
