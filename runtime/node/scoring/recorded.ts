/** @file eval/<name>.predictions.jsonl: what a run answered to each question. */
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { z } from 'zod';
import type { Dataset, Question } from '../../../datasets/dataset.js';
import { isShipped } from '../../../datasets/open-dataset.js';
import type { MeasuredRow } from '../../../datasets/scoring/measure.js';
import { isSameAnswer } from '../../../datasets/scoring/normalise-answer.js';
import { readFile, readJson, writeAtomic } from '../../../training-artifacts/files.js';
import type { Prediction } from '../../core/predict.js';

/** A question as it was answered. */
export interface AnsweredRow extends MeasuredRow, Pick<Question, 'imageId' | 'question'> {
  readonly beams: Prediction['beams'];
}

export interface EvaluationName {
  /** name of a data set of the user's own */
  readonly own?: string;
  /** a name, or the path of a split file */
  readonly split: string;
  readonly on: string;
  /** of only the first n questions: it never takes the place of a whole evaluation */
  readonly limit?: number | undefined;
  readonly checkpoint: string;
  readonly mode: 'generate' | 'rank';
}

/** e.g. `official-test-auto`, `official-test-best-rank`, `official-test-first40-auto` */
export const evaluationName = ({ own, split, on, limit, checkpoint, mode }: EvaluationName): string =>
  [
    ...(own ? [own] : []),
    basename(split, '.json'),
    on,
    ...(limit ? [`first${limit}`] : []),
    checkpoint,
    ...(mode === 'rank' ? [mode] : []),
  ].join('-');

/** What the files of an evaluation say of the data set. */
export const evaluationData = (data: string, dataset: Dataset): Pick<EvaluationName, 'own'> =>
  isShipped(data) ? {} : { own: dataset.name };

export const evaluationPath = (run: string, name: EvaluationName, extension: string): string =>
  join(run, 'eval', `${evaluationName(name)}${extension}`);

export function writePredictions(path: string, rows: readonly AnsweredRow[]): void {
  const lines = rows.map((row) => {
    const { qid, imageId, question, answer, answerType, prediction, probability, calibrated, beams } = row;
    return JSON.stringify({
      qid,
      imageId,
      question,
      answer,
      answerType,
      prediction,
      correct: isSameAnswer(prediction, answer),
      probability,
      calibrated,
      beams,
    });
  });
  writeAtomic(path, `${lines.join('\n')}\n`);
}

const recordSchema = z.object({
  splitSha256: z.string(),
  fingerprint: z.string(),
  beams: z.number(),
  candidates: z.object({ source: z.string() }).optional(),
});
const lineSchema = z.object({ qid: z.string(), prediction: z.string() });

/** What decides whether an old evaluation is of the same questions and weights. */
export interface Identity {
  readonly splitSha256: string;
  readonly fingerprint: string;
  readonly beams: number;
  /** where rank mode's candidates come from */
  readonly candidates?: string;
}

/**
 * The recorded predictions of these weights to these questions, in their order; undefined when there are none, or
 * not of all of them.
 */
export function recordedPredictions(
  run: string,
  name: EvaluationName,
  identity: Identity,
  questions: readonly Question[],
): string[] | undefined {
  const [record, lines] = [
    evaluationPath(run, name, '.json'),
    evaluationPath(run, name, '.predictions.jsonl'),
  ];
  if (!existsSync(record) || !existsSync(lines)) return undefined;
  const parsed = recordSchema.safeParse(readJson(record));
  const same =
    parsed.success &&
    parsed.data.splitSha256 === identity.splitSha256 &&
    parsed.data.fingerprint === identity.fingerprint &&
    parsed.data.beams === identity.beams &&
    parsed.data.candidates?.source === identity.candidates;
  if (!same) return undefined;
  const found = new Map<string, string>();
  for (const line of readFile(lines).toString('utf8').trimEnd().split('\n')) {
    const row = lineSchema.safeParse(JSON.parse(line));
    if (row.success) found.set(row.data.qid, row.data.prediction);
  }
  const predictions = questions.flatMap(({ qid }) => found.get(qid) ?? []);
  return predictions.length === questions.length ? predictions : undefined;
}
