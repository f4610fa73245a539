/** @file Studies whose numbers are chosen: run folders as the programs write them, in a moment. */
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Question } from '../../../../datasets/dataset.js';
import { uniform } from '../../../../datasets/random.js';
import { isYesNo } from '../../../../datasets/scoring/normalise-answer.js';
import { loadData } from '../../../../runtime/node/data.js';
import { writePredictions } from '../../../../runtime/node/scoring/recorded.js';
import { runFolder } from '../../../../runtime/node/study/commands.js';
import type { Row, StudyRun } from '../../../../runtime/node/study/row.js';
import { joinSettings, runsOf, writeSettings } from '../../../../runtime/node/study/settings.js';
import { RunLog } from '../../../../runtime/node/training/log.js';
import { trainDefaults } from '../../../../runtime/node/training/options.js';
import { writeSummary } from '../../../../runtime/node/training/summary.js';
import { initialTensors, writeCheckpoint } from '../../../../training-artifacts/checkpoint/checkpoint.js';
import { writeAtomic, writeJson } from '../../../../training-artifacts/files.js';
import { emitVariant } from '../../../../training-artifacts/graphs/emit.js';
import { readManifest } from '../../../../training-artifacts/graphs/manifest.js';
import { temporaryFolder, tinyBuild } from '../runs.js';

export const context = {
  data: 'vqa-rad',
  split: 'official',
  preset: 'miss-tiny',
  limit: null,
} as const;

/** What a run is made to look like. */
export interface Looks {
  /** the answer to a question */
  answer(question: Question, index: number): string;
  readonly epochs?: number;
  readonly finished?: boolean;
  readonly trainable?: number;
  readonly peakBytes?: number;
  readonly secondsPerStep?: number;
  /** of a study with --limit */
  readonly limit?: number;
}

const data = await loadData({ data: 'vqa-rad', split: 'official', frame: false });
export const testQuestions = data.test;

const STEPS_PER_EPOCH = 4;
let template: string | undefined;

/** A tiny run, built and with a checkpoint, without its graphs. */
function templateRun(): string {
  if (template) return template;
  const run = join(temporaryFolder(), 'run');
  const manifest = emitVariant(tinyBuild, run);
  const counts = { step: 1, batches: 1, lossScale: 1, best: null, sinceBest: 0, evaluated: 1 };
  const environment = { cpu: 'a test', onnxruntime: '1.30.0', device: 'cpu', threads: '1' };
  writeCheckpoint(run, 'last', initialTensors(run, manifest), {
    ...counts,
    options: trainDefaults,
    environment,
  });
  writeAtomic(join(run, 'adapter', 'text_decoder', 'adapter_model.safetensors'), new Uint8Array(1e6));
  template = run;
  return run;
}

function writeTraining(folder: string, looks: Looks): void {
  const { epochs = 12, finished = true, peakBytes = 1.5e9, secondsPerStep = 0.25 } = looks;
  const log = new RunLog(folder, -1);
  for (let i = 0; i < epochs * STEPS_PER_EPOCH; i++) {
    const loss = 1.4 + 4 / (1 + i);
    const numbers = {
      loss,
      tokenLoss: loss,
      lr: 5e-4,
      gradientNorm: 1,
      samplesPerSecond: 32 / secondsPerStep,
      lossScale: 1,
    };
    const epoch = Math.floor(i / STEPS_PER_EPOCH);
    const seconds = i === 5 ? 900 : secondsPerStep; // once the machine is asleep or busy
    log.append({ type: 'step', step: i + 1, epoch, ...numbers }, seconds);
  }
  writeSummary(folder, { finished, early: false, peakBytes });
}

/** Writes the scores as ort-eval does. */
export function writeAnswers(folder: string, trained: boolean, { answer, limit }: Looks): void {
  const rows = testQuestions
    .slice(0, limit)
    .map((q, i) => ({ ...q, prediction: answer(q, i), probability: 0.5, beams: [] }));
  const checkpoint = trained ? 'auto' : 'base';
  const name = join(folder, 'eval', `official-test-${limit ? `first${limit}-` : ''}${checkpoint}`);
  writePredictions(`${name}.predictions.jsonl`, rows);
  writeJson(`${name}.json`, {
    splitSha256: data.splitHash,
    seconds: 8,
    majority: { answer: 'no', yesNo: { accuracy: 0.53 } },
  });
}

export function writeRun(out: string, run: StudyRun, looks: Looks): string {
  const folder = runFolder({ out }, run);
  mkdirSync(folder, { recursive: true });
  const from = templateRun();
  const manifest = readManifest(from);
  const { trainable = 1e5 } = looks;
  const total = 10_485_308 + trainable;
  const parameters = { ...manifest.parameters, trainable, total, percent: (100 * trainable) / total };
  writeJson(join(folder, 'manifest.json'), { ...manifest, parameters });
  writeAnswers(folder, run.row.trained, looks);
  if (!run.row.trained) return folder;
  for (const name of ['checkpoint', 'adapter'])
    cpSync(join(from, name), join(folder, name), { recursive: true });
  writeTraining(folder, looks);
  return folder;
}

/** A study of these rows, all runs finished. */
export function fabricate(
  rows: readonly Row[],
  seeds: readonly number[],
  looks: (run: StudyRun) => Looks | undefined,
  out = join(temporaryFolder(), 'study'),
): string {
  const settings = joinSettings({ ...context, out }, rows, seeds);
  writeSettings(out, settings);
  for (const run of runsOf(settings)) {
    const own = looks(run);
    if (own) writeRun(out, run, own);
  }
  return out;
}

/** Right with a probability that may differ between yes/no and other questions; draws are shared where `key` is. */
export const answering =
  (open: number, closed: number, key: string): Looks['answer'] =>
  (question, i) =>
    uniform('fabricated', key, i) < (isYesNo(question.answer) ? closed : open)
      ? question.answer
      : isYesNo(question.answer)
        ? question.answer.toLowerCase() === 'yes'
          ? 'no'
          : 'yes'
        : `wrong ${Math.floor(3 * uniform('wrong', key, i))}`;
