/** @file What a model card says, gathered from the run folder: nothing in it is typed by hand. */
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../../datasets/package-root.js';
import { isYesNo } from '../../../datasets/scoring/normalise-answer.js';
import {
  type CheckpointState,
  readCheckpointState,
} from '../../../training-artifacts/checkpoint/checkpoint.js';
import { readJson } from '../../../training-artifacts/files.js';
import {
  type ImportedManifest,
  type Manifest,
  readAnyManifest,
} from '../../../training-artifacts/graphs/manifest.js';
import { pretrainedRecord } from '../../../training-artifacts/weights/pretrained.js';
import { loadData } from '../data.js';
import type { EvaluationEvent, LogLine, StepEvent } from './events.js';
import { readLog } from './log.js';
import type { TrainOptions } from './options.js';
import { savedOptions } from './restore.js';

export interface RunFacts {
  readonly manifest: Manifest | ImportedManifest;
  readonly state: CheckpointState;
  readonly options: TrainOptions;
  readonly steps: readonly StepEvent[];
  readonly evaluations: readonly EvaluationEvent[];
  /** seconds of all updates and of all evaluations, over all interrupts */
  readonly seconds: { readonly updates: number; readonly evaluations: number };
  readonly version: string;
  readonly hardware: { readonly cores: number; readonly memoryBytes: number };
}

const secondsOf = (lines: readonly LogLine[]): number => lines.reduce((sum, { seconds }) => sum + seconds, 0);

export function runFacts(run: string): RunFacts {
  const state = readCheckpointState(run, 'last');
  const lines = readLog(run);
  const steps = lines.filter((line) => line.type === 'step');
  const evaluations = lines.filter((line) => line.type === 'evaluation');
  const { version } = readJson(join(packageRoot(), 'package.json')) as { version: string };
  return {
    manifest: readAnyManifest(run),
    state,
    options: savedOptions(run, state),
    steps,
    evaluations,
    seconds: { updates: secondsOf(steps), evaluations: secondsOf(evaluations) },
    version,
    hardware: { cores: cpus().length, memoryBytes: totalmem() },
  };
}

/** The evaluation of the best checkpoint. */
export const bestOf = ({ evaluations, state: { best } }: Pick<RunFacts, 'evaluations' | 'state'>) =>
  evaluations.find(({ step }) => step === best?.step);

export interface DataFacts {
  /** of own data that of the folder or table: no path of this machine */
  readonly name: string;
  readonly licence: string;
  readonly splitSha256: string;
  readonly images: number;
  readonly train: number;
  /** of the training questions */
  readonly yesNo: number;
  readonly validation: number;
  readonly test: number;
}

export async function dataFacts(options: TrainOptions): Promise<DataFacts> {
  const data = await loadData(options);
  const train = data.train.slice(0, options.limit ?? undefined);
  return {
    name: options.data === 'vqa-rad-base' ? options.data : data.dataset.name,
    licence: data.dataset.licence,
    splitSha256: data.splitHash,
    images: new Set(train.map((q) => q.imageId)).size,
    train: train.length,
    yesNo: train.filter((q) => isYesNo(q.answer)).length,
    validation: data.validation.length,
    test: data.test.length,
  };
}

export interface Licence {
  /** an identifier that Hugging Face knows */
  readonly id: string;
  readonly text: string;
}

/** Terms of the base weights, by where the manifest says that they come from. */
export function baseLicence(source: string): Licence {
  const preset = /^pretrained (.+)$/.exec(source)?.[1];
  if (preset) {
    const { licence } = pretrainedRecord(preset) as { licence?: unknown };
    const text = typeof licence === 'string' ? licence : 'not stated';
    return { id: text.startsWith('Apache-2.0') ? 'apache-2.0' : 'unknown', text };
  }
  if (source.startsWith('random'))
    return { id: 'unknown', text: 'drawn at random: nobody else has rights in them' };
  return { id: 'unknown', text: 'not stated in the file: ask where it comes from' };
}
