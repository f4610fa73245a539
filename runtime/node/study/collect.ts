/** @file Reads the finished runs of a study. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { readJson } from '../../../datasets/read-json.js';
import { isYesNo, normaliseAnswer } from '../../../datasets/scoring/normalise-answer.js';
import { FileError, UserError } from '../../../graph-builder/errors.js';
import { readCheckpointState } from '../../../training-artifacts/checkpoint/checkpoint.js';
import { readManifest } from '../../../training-artifacts/graphs/manifest.js';
import type { RunMetrics } from '../plots.js';
import { readMetrics, smoothingFloor } from '../training/finish.js';
import { readLog } from '../training/log.js';
import { readSummary } from '../training/summary.js';
import { runFolder } from './commands.js';
import { LEAST_EPOCHS } from './paper-grid.js';
import { type Row, runId, type StudyRun } from './row.js';
import { threadsOfRun } from './run-seconds.js';
import { isFinished, type StudyPlace, scoresFile } from './run-state.js';

/** One test question with what a run answered. */
export interface Answer {
  readonly qid: string;
  readonly question: string;
  readonly truth: string;
  readonly answer: string;
  /** the answer in the form in which answers are compared */
  readonly normal: string;
  readonly correct: boolean;
}

export interface RunResult extends StudyRun {
  readonly id: string;
  readonly parameters: { readonly trainable: number; readonly total: number; readonly percent: number };
  readonly weights: string;
  /** epochs trained; 0 for the base */
  readonly epochs: number;
  /** at least ten epochs and not interrupted: only then a finding may rest on it */
  readonly toTheEnd: boolean;
  /** of training and scoring, loading not counted */
  readonly seconds: number;
  /** threads inside an operator in training; null for the base, or where it is not known */
  readonly threads: number | null;
  /** median over updates, so that neither pauses nor loading count; null for the base */
  readonly secondsPerStep: number | null;
  readonly peakBytes: number | null;
  readonly adapterBytes: number | null;
  readonly environment: Readonly<Record<string, string>>;
  readonly metrics: RunMetrics;
  /** least loss that label smoothing allows, nats a token */
  readonly lossFloor: number;
  readonly splitSha256: string;
  readonly majority: { readonly answer: string; readonly accuracy: number };
  readonly answers: readonly Answer[];
}

export interface RowResult {
  readonly row: Row;
  /** by seed */
  readonly runs: readonly RunResult[];
}

export interface Collected {
  readonly rows: readonly RowResult[];
  /** whether a question is answered yes or no, in the order of all answers */
  readonly yesNo: readonly boolean[];
  readonly qids: readonly string[];
  /** runs that could not be read */
  readonly broken: readonly { readonly id: string; readonly reason: string }[];
}

const evaluationSchema = z.object({
  splitSha256: z.string(),
  seconds: z.number(),
  majority: z.object({ answer: z.string(), yesNo: z.object({ accuracy: z.number().nullable() }) }),
});
const predictionSchema = z.object({
  qid: z.string(),
  question: z.string(),
  answer: z.string(),
  prediction: z.string(),
  correct: z.boolean(),
});

const remedy = 'score the run again: ort-eval';

function readAnswers(file: string): Answer[] {
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  return lines.map((line, i) => {
    try {
      const { qid, question, answer, prediction, correct } = predictionSchema.parse(JSON.parse(line));
      return {
        qid,
        question,
        truth: answer,
        answer: prediction,
        normal: normaliseAnswer(prediction),
        correct,
      };
    } catch (error) {
      throw new FileError('not a prediction', `${file}:${i + 1}`, remedy, { cause: error });
    }
  });
}

const median = (values: readonly number[]): number | null =>
  values.length === 0 ? null : values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** Bytes of the files of `adapter/`; null when there is none. */
function adapterBytes(folder: string): number | null {
  const adapter = join(folder, 'adapter');
  if (!existsSync(adapter)) return null;
  const files = readdirSync(adapter, { recursive: true, withFileTypes: true }).filter((e) => e.isFile());
  return files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

/** What the training log says: epochs, time a step. */
function training(folder: string, trained: boolean) {
  const steps = readLog(folder).filter((line) => line.type === 'step');
  const summary = readSummary(folder);
  const stepsPerEpoch = steps.filter(({ epoch }) => epoch === 0).length;
  const epochs = stepsPerEpoch > 0 ? steps.length / stepsPerEpoch : 0;
  return {
    epochs,
    toTheEnd: !trained || (summary?.finished === true && epochs >= LEAST_EPOCHS),
    // the first steps load and plan
    secondsPerStep: median(steps.slice(1).map(({ seconds }) => seconds)),
    peakBytes: summary?.peakBytes ?? null,
  };
}

function readRun(context: StudyPlace, run: StudyRun): RunResult {
  const folder = runFolder(context, run);
  const { trained } = run.row;
  const { parameters, config, weights } = readManifest(folder);
  const file = scoresFile(context, run)!;
  const { splitSha256, majority, seconds } = readJson(file, evaluationSchema, remedy);
  const { trainable, total, percent } = parameters;
  return {
    ...run,
    id: runId(run),
    parameters: trained ? { trainable, total, percent } : { trainable: 0, total, percent: 0 },
    weights: weights.source,
    ...training(folder, trained),
    seconds: readLog(folder).reduce((sum, line) => sum + line.seconds, seconds),
    threads: threadsOfRun(context, run) ?? null,
    adapterBytes: trained ? adapterBytes(folder) : null,
    environment: trained ? readCheckpointState(folder, 'last').environment : {},
    metrics: readMetrics(folder, run.row.label),
    lossFloor: smoothingFloor(config),
    splitSha256,
    majority: { answer: majority.answer, accuracy: majority.yesNo.accuracy ?? Number.NaN },
    answers: readAnswers(file.replace(/\.json$/, '.predictions.jsonl')),
  };
}

/** @throws {UserError} unless both runs were scored on the same questions. */
function checkSame(run: RunResult, first: RunResult): void {
  const qids = ({ answers }: RunResult) => answers.map(({ qid }) => qid).join();
  if (run.splitSha256 === first.splitSha256 && qids(run) === qids(first)) return;
  throw new UserError(`scored on other questions than ${first.id}`, run.id, remedy);
}

/**
 * All finished runs, by row. What cannot be read is named and left out.
 *
 * @throws {UserError} when no run is finished.
 */
export function collect(context: StudyPlace, runs: readonly StudyRun[]): Collected {
  const broken: { id: string; reason: string }[] = [];
  const results: RunResult[] = [];
  for (const run of runs.filter((r) => isFinished(context, r))) {
    try {
      const result = readRun(context, run);
      if (results[0]) checkSame(result, results[0]);
      results.push(result);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      broken.push({ id: runId(run), reason: error.message });
    }
  }
  const [first] = results;
  if (!first) {
    const why = broken[0] ? `: ${broken[0].reason}` : '';
    throw new UserError(
      `no run is finished${why}`,
      context.out,
      'run ort-study, or the commands that --list prints',
    );
  }
  const rows = [...new Map(results.map(({ row }) => [row.id, row])).values()];
  return {
    rows: rows.map((row) => ({ row, runs: results.filter((r) => r.row.id === row.id) })),
    yesNo: first.answers.map(({ truth }) => isYesNo(truth)),
    qids: first.answers.map(({ qid }) => qid),
    broken,
  };
}
