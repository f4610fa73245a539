/** @file Scores a run on a split and writes every prediction down. */
import type { Question } from '../../datasets/dataset.js';
import { loadTokenizer } from '../../datasets/load-tokenizer.js';
import { type MajorityBaseline, majorityBaseline } from '../../datasets/scoring/majority.js';
import { type MeasureName, type Measures, measure } from '../../datasets/scoring/measure.js';
import { isSameAnswer } from '../../datasets/scoring/normalise-answer.js';
import { UserError } from '../../graph-builder/errors.js';
import type { CheckpointName } from '../../training-artifacts/checkpoint/checkpoint.js';
import { writeJson } from '../../training-artifacts/files.js';
import type { AnswerOptions } from '../core/answerer.js';
import { type Prediction, type PredictOptions, predict } from '../core/predict.js';
import { type DataOptions, imagePaths, type LoadedData, loadData, readOptions, tokenise } from './data.js';
import { ImageStore } from './images.js';
import { type OpenedRun, openRun } from './inference.js';
import { abstains, type CalibrationFile, readCalibration } from './scoring/calibration-file.js';
import { loadCandidates } from './scoring/candidates.js';
import {
  type AnsweredRow,
  type EvaluationName,
  evaluationData,
  evaluationPath,
  writePredictions,
} from './scoring/recorded.js';

/** How the questions of a split are answered. */
export interface AskOptions extends AnswerOptions, Omit<DataOptions, 'frame'> {
  readonly checkpoint: CheckpointName | 'base' | 'auto';
  readonly limit?: number;
  readonly threads?: number;
  /** rank mode: a file of answers to choose from, or `train` */
  readonly candidates?: string;
  readonly topK?: number;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface EvaluateOptions extends AskOptions {
  /** which questions of the split */
  readonly on: 'test' | 'validation';
  /** default: all */
  readonly measures?: readonly MeasureName[];
}

export interface Evaluation extends Measures, EvaluationName {
  readonly run: string;
  /** of the weights that answered */
  readonly fingerprint: string;
  readonly data: string;
  readonly splitSha256: string;
  readonly beams: number;
  readonly candidates?: { readonly source: string; readonly n: number };
  readonly majority: Omit<MajorityBaseline, 'correct'>;
  /** what abstaining at the threshold of validation does here; left out where the run is not calibrated */
  readonly abstaining?: Abstaining;
  readonly predictions: string;
  /** how the data set was read: columns, rows left out */
  readonly notes: readonly string[];
  readonly seconds: number;
}

export interface Abstaining {
  readonly temperature: number;
  /** risk aimed at on validation */
  readonly risk: number;
  /** null: no threshold was safe enough on validation, so that every answer is abstained from */
  readonly threshold: number | null;
  readonly answered: number;
  readonly correct: number;
}

/** A run and its data, ready to be asked. */
export interface Asking {
  readonly opened: OpenedRun;
  readonly data: LoadedData;
}

export const openAsking = async (run: string, options: AskOptions): Promise<Asking> => ({
  opened: await openRun(run, options.checkpoint, options.threads),
  data: await loadData({
    ...readOptions(options),
    data: options.data,
    split: options.split,
    frame: false,
  }),
});

/** The questions of a part of the split. @throws {UserError} when there are none. */
export function questionsOf(
  data: LoadedData,
  { on, limit }: Pick<EvaluateOptions, 'on' | 'limit'>,
): readonly Question[] {
  const questions = data[on].slice(0, limit);
  if (questions.length > 0) return questions;
  throw new UserError(
    `the ${on} part of the split is empty`,
    '--split',
    'choose another; of instruction data test the original questions: --data',
  );
}

/** Answers to questions of the data set, in their order, and how many answers there were to choose from. */
export async function answerQuestions(
  { opened: { manifest, answerer }, data }: Asking,
  questions: readonly Question[],
  { candidates: source, onProgress, ...options }: AskOptions & Pick<PredictOptions, 'temperatures'>,
): Promise<{ predictions: Prediction[]; candidates?: number }> {
  const images = new ImageStore(manifest.config.imageSize, manifest.image.normalisation);
  await images.load(imagePaths(data.dataset, questions));
  const tokenizer = loadTokenizer();
  const trainAnswers = async () => data.train.map((q) => q.answer);
  const candidates =
    source === undefined
      ? undefined
      : await loadCandidates(source, trainAnswers, tokenizer, manifest.text.maxAnswerTokens);
  let done = 0;
  const onBatch = (n: number) => {
    done += n;
    onProgress?.(done, questions.length);
  };
  const { samples } = tokenise(questions, manifest, tokenizer);
  const predictions = await predict(answerer, samples, (id) => images.pixelValues(id), {
    ...options,
    ...(candidates && { candidates }),
    tokenizer,
    onBatch,
  });
  return { predictions, ...(candidates && { candidates: candidates.length }) };
}

const answeredRows = (questions: readonly Question[], predictions: readonly Prediction[]): AnsweredRow[] =>
  questions.map((q, i) => {
    const { answer: prediction, probability, beams, tempered } = predictions[i]!;
    return { ...q, prediction, probability, beams, ...(tempered && { calibrated: Math.exp(tempered[0]!) }) };
  });

function abstaining(rows: readonly AnsweredRow[], calibration: CalibrationFile): Abstaining {
  const answered = rows.filter((row) => !abstains(calibration, row.calibrated!));
  return {
    temperature: calibration.temperature,
    risk: calibration.abstain.risk,
    threshold: calibration.abstain.threshold,
    answered: answered.length,
    correct: answered.filter((row) => isSameAnswer(row.prediction, row.answer)).length,
  };
}

/** Answers and scores; also returns the answers, and which of them are right, in the order of the questions. */
export async function evaluateRun(
  run: string,
  options: EvaluateOptions,
): Promise<{
  evaluation: Evaluation;
  questions: readonly Question[];
  rows: readonly AnsweredRow[];
  correct: boolean[];
  asking: Asking;
}> {
  const started = performance.now();
  const { split, on, limit, checkpoint, beams = 3 } = options;
  const asking = await openAsking(run, options);
  const { opened, data } = asking;
  const questions = questionsOf(data, options);
  const fingerprint = opened.fingerprint();
  // it was fitted on validation: there it would flatter itself; and on answers that were written, not chosen
  const applies = on === 'test' && options.candidates === undefined;
  const calibration = applies ? readCalibration(run, () => fingerprint) : undefined;
  const asked = { ...options, ...(calibration && { temperatures: [calibration.temperature] }) };
  const { predictions, candidates } = await answerQuestions(asking, questions, asked);
  const rows = answeredRows(questions, predictions);
  const { answer, yesNo } = majorityBaseline(data.train, questions);
  const name: EvaluationName = {
    ...evaluationData(options.data, data.dataset),
    ...{ split, on, ...(limit && { limit }), checkpoint },
    mode: candidates === undefined ? 'generate' : 'rank',
  };
  const file = evaluationPath(run, name, '.predictions.jsonl');
  writePredictions(file, rows);
  const evaluation: Evaluation = {
    run,
    fingerprint,
    data: options.data,
    ...name,
    splitSha256: data.splitHash,
    beams,
    ...(candidates !== undefined && { candidates: { source: options.candidates!, n: candidates } }),
    ...measure(rows, options.measures),
    majority: { answer, yesNo },
    ...(calibration && { abstaining: abstaining(rows, calibration) }),
    predictions: file,
    notes: data.notes,
    seconds: (performance.now() - started) / 1000,
  };
  writeJson(evaluationPath(run, name, '.json'), evaluation);
  const correct = rows.map((row) => isSameAnswer(row.prediction, row.answer));
  return { evaluation, questions, rows, correct, asking };
}
