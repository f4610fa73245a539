/** @file Writes a variant as ONNX Runtime's official on-device training artifacts. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../datasets/package-root.js';
import { UserError } from '../../graph-builder/errors.js';
import type { Graph, Parameter } from '../../graph-builder/ir/types.js';
import type { TrainedTensor } from '../checkpoint/checkpoint.js';
import { writeAtomic } from '../files.js';
import { type SafetensorsFile, withSafetensors } from '../weights/safetensors-file.js';
import { encodeCheckpoint, type OrtOptimizerState, type OrtTensor, ortTensor } from './checkpoint-format.js';
import { lossOnly } from './graphs.js';
import { evalModel, type OptimizerSettings, optimizerModel, trainingModel } from './models.js';

/** The folder in a run, and its files by the names that the official tools use. */
export const ORT_TRAINING = 'ort-training';
export const ortTrainingFiles = {
  training: 'training_model.onnx',
  evaluation: 'eval_model.onnx',
  optimizer: 'optimizer_model.onnx',
  checkpoint: 'checkpoint',
  script: 'train.py',
  /** written by `writeBatches`, if at all */
  batches: 'batches.safetensors',
} as const;

export interface OrtTrainingInput {
  /** output `loss`; adapters inserted without dropout, trainable parameters marked */
  readonly forward: Graph;
  /** safetensors file of the frozen parameters */
  readonly weights: string;
  /** values of the trainable parameters: initial ones, or a checkpoint's */
  readonly trained: ReadonlyMap<string, Pick<TrainedTensor, 'shape' | 'value'>>;
  /** moments of a checkpoint; default: none, the first update is step 1 */
  readonly optimizer?: OrtOptimizerState;
  /** default: what `ort-train` uses */
  readonly settings?: OptimizerSettings;
}

const byName = (a: Parameter, b: Parameter): number => (a.name < b.name ? -1 : 1);

function frozenTensor({ name, dtype }: Parameter, file: SafetensorsFile): OrtTensor {
  const { shape, length } = file.entry(name);
  return { name, dtype, shape, length, bytes: () => file.bytes(name) };
}

/**
 * Writes training_model.onnx, eval_model.onnx, optimizer_model.onnx, checkpoint and train.py into `folder`.
 *
 * Python's onnxruntime-training 1.19.2 trains them (`CheckpointState`, `Module`, `Optimizer`). The backward pass
 * is ours. Without dropout: the official API has no input for its seeds that its users could fill. Frozen
 * weights are in the checkpoint, too, as the format wants it: it is as large as the model in float32.
 *
 * @throws {UserError} when nothing is trained, or the checkpoint would exceed the format's 2 GiB.
 */
export function writeOrtTraining(folder: string, input: OrtTrainingInput): void {
  const { weights, trained, optimizer, settings } = input;
  const forward = lossOnly(input.forward);
  const parameters = [...forward.parameters].sort(byName);
  if (!parameters.some((p) => p.trainable))
    throw new UserError('nothing is trained', '--target ort-training', 'choose a variant with a T or a P');
  const trainable = parameters
    .filter((p) => p.trainable)
    .map(({ name }) => ortTensor(name, trained.get(name)!.shape, trained.get(name)!.value));
  const path = (file: keyof typeof ortTrainingFiles) => join(folder, ortTrainingFiles[file]);
  withSafetensors(weights, (file) => {
    const frozen = parameters.filter((p) => !p.trainable).map((p) => frozenTensor(p, file));
    writeAtomic(path('checkpoint'), encodeCheckpoint({ trainable, frozen, ...(optimizer && { optimizer }) }));
  });
  writeAtomic(path('training'), trainingModel(forward));
  writeAtomic(path('evaluation'), evalModel(forward));
  writeAtomic(path('optimizer'), optimizerModel(settings));
  const script = join(packageRoot(), 'training-artifacts', 'ort-training', ortTrainingFiles.script);
  writeAtomic(path('script'), readFileSync(script));
}
