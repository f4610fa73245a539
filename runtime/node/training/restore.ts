/** @file Where a training run starts: from its initial values or its last checkpoint. */
import { existsSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import {
  type CheckpointState,
  initialTensors,
  readCheckpoint,
  type TrainedTensor,
} from '../../../training-artifacts/checkpoint/checkpoint.js';
import { writeAtomic } from '../../../training-artifacts/files.js';
import type { TrainableRun } from '../../../training-artifacts/graphs/manifest.js';
import { INITIAL_LOSS_SCALE } from '../../core/trainer.js';
import { runtimeVersion } from '../ort.js';
import type { TrainingJob } from './events.js';
import { type TrainOptions, trainOptionsSchema } from './options.js';

export const metricsPath = (run: string): string => join(run, 'log', 'metrics.jsonl');

/** Lines of the log up to a step: what a killed run wrote after its checkpoint is dropped. */
export function cutMetrics(run: string, step: number): void {
  const file = metricsPath(run);
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  const kept = lines.filter((line) => {
    try {
      return (JSON.parse(line) as { step: number }).step <= step;
    } catch {
      return false; // a line cut short by the kill
    }
  });
  writeAtomic(file, kept.map((line) => `${line}\n`).join(''));
}

function environmentOf(options: TrainOptions): Record<string, string> {
  return {
    onnxruntime: runtimeVersion(),
    cpu: cpus()[0]?.model ?? 'unknown',
    threads: String(options.threads ?? `${cpus().length} cores, default`),
  };
}

export interface Restored {
  readonly tensors: Map<string, TrainedTensor>;
  readonly state: CheckpointState;
  readonly options: TrainOptions;
  /** what differs from the environment of the checkpoint */
  readonly notes: readonly string[];
}

/** @throws {FileError} when the checkpoint is damaged or of another variant. */
export function restore({ run, options, resume }: TrainingJob, manifest: TrainableRun): Restored {
  if (!resume) {
    const environment = environmentOf(options);
    const state = { step: 0, batches: 0, lossScale: INITIAL_LOSS_SCALE, best: null, options, environment };
    return { tensors: initialTensors(run, manifest), state, options, notes: [] };
  }
  const { tensors, state } = readCheckpoint(run, 'last', manifest);
  const saved = trainOptionsSchema.parse(state.options);
  const now = environmentOf(saved);
  const notes = Object.keys(now)
    .filter((key) => now[key] !== state.environment[key])
    .map(
      (key) => `${key} was ${state.environment[key]}, is ${now[key]}: losses may differ in the last digits`,
    );
  return { tensors, state: { ...state, environment: now }, options: saved, notes };
}
