/** @file Scores a run on a split and writes every prediction down. */
import { mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Question } from '../../datasets/dataset.js';
import { loadTokenizer } from '../../datasets/load-tokenizer.js';
import { isShipped } from '../../datasets/open-dataset.js';
import { type Scores, scoreAnswers } from '../../datasets/scoring/accuracy.js';
import { type MajorityBaseline, majorityBaseline } from '../../datasets/scoring/majority.js';
import { isSameAnswer } from '../../datasets/scoring/normalise-answer.js';
import { UserError } from '../../graph-builder/errors.js';
import type { CheckpointName } from '../../training-artifacts/checkpoint/checkpoint.js';
import { writeAtomic, writeJson } from '../../training-artifacts/files.js';
import type { AnswerOptions } from '../core/answerer.js';
import { predict } from '../core/predict.js';
import { type DataOptions, imagePaths, loadData, readOptions, tokenise } from './data.js';
import { ImageStore } from './images.js';
import { openRun } from './inference.js';

export interface EvaluateOptions extends AnswerOptions, Omit<DataOptions, 'frame'> {
  /** which questions of the split */
  readonly on: 'test' | 'validation';
  readonly checkpoint: CheckpointName | 'base' | 'auto';
  readonly limit?: number;
  readonly threads?: number;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface Evaluation {
  readonly run: string;
  readonly checkpoint: string;
  readonly data: string;
  readonly split: string;
  readonly on: string;
  readonly splitSha256: string;
  readonly beams: number;
  readonly scores: Scores;
  readonly majority: Omit<MajorityBaseline, 'correct'>;
  readonly predictions: string;
  readonly seconds: number;
}

/** Answers and scores; also returns the answers and which are right, in the order of the questions. */
export async function evaluateRun(
  run: string,
  options: EvaluateOptions,
): Promise<{
  evaluation: Evaluation;
  questions: readonly Question[];
  answers: string[];
  correct: boolean[];
}> {
  const started = performance.now();
  const { manifest, answerer } = await openRun(run, options.checkpoint, options.threads);
  const data = await loadData({
    ...readOptions(options),
    data: options.data,
    split: options.split,
    frame: false,
  });
  const questions = data[options.on].slice(0, options.limit);
  if (questions.length === 0)
    throw new UserError(`the ${options.on} part of the split is empty`, '--split', 'choose another');
  const images = new ImageStore(manifest.config.imageSize, manifest.image.normalisation);
  await images.load(imagePaths(data.dataset, questions));
  const tokenizer = loadTokenizer();
  let done = 0;
  const onBatch = (n: number) => {
    done += n;
    options.onProgress?.(done, questions.length);
  };
  const { samples } = tokenise(questions, manifest, tokenizer);
  const predictions = await predict(answerer, samples, (id) => images.pixelValues(id), {
    ...options,
    tokenizer,
    onBatch,
  });
  const rows = questions.map((q, i) => ({ ...q, prediction: predictions[i]!.answer }));
  const correct = rows.map((row) => isSameAnswer(row.prediction, row.answer));
  const { answer, yesNo } = majorityBaseline(data.train, questions);
  const folder = join(run, 'eval');
  mkdirSync(folder, { recursive: true });
  const own = isShipped(options.data) ? '' : `${data.dataset.name}-`;
  const name = `${own}${basename(options.split, '.json')}-${options.on}-${options.checkpoint}`;
  const file = join(folder, `${name}.predictions.jsonl`);
  const lines = rows.map(({ qid, imageId, question, answer: truth, answerType, prediction }, i) =>
    JSON.stringify({
      qid,
      imageId,
      question,
      answer: truth,
      answerType,
      prediction,
      correct: correct[i],
      probability: predictions[i]!.probability,
      beams: predictions[i]!.beams,
    }),
  );
  writeAtomic(file, `${lines.join('\n')}\n`);
  const evaluation: Evaluation = {
    run,
    checkpoint: options.checkpoint,
    data: options.data,
    split: options.split,
    on: options.on,
    splitSha256: data.splitHash,
    beams: options.beams ?? 3,
    scores: scoreAnswers(rows),
    majority: { answer, yesNo },
    predictions: file,
    seconds: (performance.now() - started) / 1000,
  };
  writeJson(join(folder, `${name}.json`), evaluation);
  return { evaluation, questions, answers: predictions.map((p) => p.answer), correct };
}
