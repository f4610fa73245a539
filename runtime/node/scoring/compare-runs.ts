/** @file Compares two runs, or two files of predictions, on the same questions. */
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { pairAnswers, readPredictions, readTruth } from '../../../datasets/scoring/answer-files.js';
import { type ComparedRow, type Comparison, compareAnswers } from '../../../datasets/scoring/comparison.js';
import { FileError } from '../../../graph-builder/errors.js';
import { writeAtomic } from '../../../training-artifacts/files.js';
import { loadData } from '../data.js';
import type { EvaluateOptions } from '../evaluate.js';
import { type EvaluationName, evaluationData, recordedPredictions } from './recorded.js';
import { truthOf } from './truth.js';

/** A side of the comparison as it was asked for: a run folder or a file of predictions. */
export const isRun = (path: string): boolean => existsSync(path) && statSync(path).isDirectory();

export interface ComparedRuns extends Comparison {
  readonly a: string;
  readonly b: string;
  /** whether the predictions lay there already, or were made now */
  readonly recorded: { readonly a: boolean; readonly b: boolean };
  readonly splitSha256?: string;
  /** file of the questions that only one of them answers right */
  readonly flipsFile: string;
}

export interface CompareOptions extends EvaluateOptions {
  /** reference answers for files of predictions */
  readonly truth?: string;
  /** default: beside the predictions of the first */
  readonly flipsFile?: string;
}

/** Recorded predictions of a run where they are of the same questions and weights; else it answers now. */
async function predictionsOf(
  run: string,
  options: EvaluateOptions,
): Promise<{ predictions: readonly string[]; recorded: boolean }> {
  const data = await loadData({ ...options, frame: false });
  const { runFingerprint } = await import('../inference.js');
  const { limit, ...asked } = options;
  const name = {
    ...evaluationData(options.data, data.dataset),
    ...asked,
    mode: options.candidates === undefined ? ('generate' as const) : ('rank' as const),
  };
  const identity = {
    splitSha256: data.splitHash,
    fingerprint: runFingerprint(run, options.checkpoint),
    beams: options.beams ?? 3,
    ...(options.candidates !== undefined && { candidates: options.candidates }),
  };
  const questions = data[options.on].slice(0, limit);
  const recordedAs = (named: EvaluationName) => recordedPredictions(run, named, identity, questions);
  // the first questions are among all of them
  const found = recordedAs(name) ?? (limit && recordedAs({ ...name, limit }));
  if (found) return { predictions: found, recorded: true };
  const { evaluateRun } = await import('../evaluate.js');
  const { rows } = await evaluateRun(run, options);
  return { predictions: rows.map((row) => row.prediction), recorded: false };
}

async function pairRuns(a: string, b: string, options: EvaluateOptions) {
  const [left, right] = [await predictionsOf(a, options), await predictionsOf(b, options)];
  const data = await loadData({ ...options, frame: false });
  const rows = data[options.on].slice(0, options.limit).map(
    ({ qid, question, answer, answerType }, i): ComparedRow => ({
      qid,
      question,
      answer,
      answerType,
      a: left.predictions[i]!,
      b: right.predictions[i]!,
    }),
  );
  const recorded = { a: left.recorded, b: right.recorded };
  return { rows, recorded, splitSha256: data.splitHash };
}

async function pairFiles(a: string, b: string, { truth, ...options }: CompareOptions) {
  // files that this program recorded have the reference answers in them
  const reference = truth === undefined ? readTruth(a).truth : (await truthOf(truth, options)).truth;
  const rowsOf = (file: string) => pairAnswers(reference, readPredictions(file), file);
  const [left, right] = [rowsOf(a), rowsOf(b)];
  const rows = left.map(
    ({ qid, question, answer, answerType, prediction }, i): ComparedRow => ({
      qid,
      question,
      answer,
      answerType,
      a: prediction,
      b: right[i]!.prediction,
    }),
  );
  return { rows, recorded: { a: true, b: true } };
}

/**
 * Both sides are runs, or both are files.
 *
 * @throws {FileError} when they are of two kinds, or do not answer the same questions.
 */
export async function compareRuns(a: string, b: string, options: CompareOptions): Promise<ComparedRuns> {
  if (isRun(a) !== isRun(b)) {
    const what = 'one is a run and the other is not';
    throw new FileError(what, `${a}, ${b}`, 'give two run folders, or two files of predictions');
  }
  const { rows, ...found } = await (isRun(a) ? pairRuns(a, b, options) : pairFiles(a, b, options));
  const comparison = compareAnswers(rows);
  const folder = isRun(a) ? join(a, 'eval') : dirname(a);
  const named = (path: string) => basename(path).replace(/(\.predictions)?\.\w+$/, '');
  const file = options.flipsFile ?? join(folder, `${named(a)}-against-${named(b)}.flips.jsonl`);
  writeAtomic(file, comparison.flips.map((flip) => `${JSON.stringify(flip)}\n`).join(''));
  return { a, b, ...found, ...comparison, flipsFile: file };
}
