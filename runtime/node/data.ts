/** @file The data sets that commands know by name, split and tokenised. */
import type { Dataset, Question } from '../../datasets/dataset.js';
import { loadTokenizer } from '../../datasets/load-tokenizer.js';
import { drawSplit, type SplitName, splitNames } from '../../datasets/split.js';
import { loadSplit, splitHash } from '../../datasets/split-file.js';
import type { VqaTokenizer } from '../../datasets/tokenizer.js';
import { baseTrainingQuestions } from '../../datasets/vqa-rad/base-split.js';
import { pretextQuestions } from '../../datasets/vqa-rad/pretext.js';
import { loadVqaRad } from '../../datasets/vqa-rad.js';
import { UserError } from '../../graph-builder/errors.js';
import type { Manifest } from '../../training-artifacts/graphs/manifest.js';
import type { Sample } from '../core/batch.js';

export const dataNames = ['vqa-rad', 'vqa-rad-base'] as const;
export type DataName = (typeof dataNames)[number];

export interface DataOptions {
  /** 'vqa-rad', or 'vqa-rad-base': what the shipped base weights are trained on */
  readonly data: string;
  readonly split: SplitName;
  /** adds VQA-RAD's templated restatements to the training questions */
  readonly frame: boolean;
}

export interface LoadedData {
  readonly dataset: Dataset;
  readonly train: readonly Question[];
  readonly validation: readonly Question[];
  readonly test: readonly Question[];
  /** of the three qid lists */
  readonly splitHash: string;
}

/** @throws {UserError} for an unknown name. */
export function loadData({ data, split, frame }: DataOptions): LoadedData {
  if (!(dataNames as readonly string[]).includes(data)) {
    throw new UserError(`unknown data set '${data}'`, '--data', `choose from ${dataNames.join(', ')}`);
  }
  if (!splitNames.includes(split)) {
    throw new UserError(`unknown split '${split}'`, '--split', `choose from ${splitNames.join(', ')}`);
  }
  const dataset = loadVqaRad();
  const lists = frame ? drawSplit(dataset.questions, split, 0, { frame }) : loadSplit(dataset, split);
  const byId = new Map(dataset.questions.map((q) => [q.qid, q]));
  const pick = (qids: readonly string[]) => qids.map((qid) => byId.get(qid)!);
  const train = data === 'vqa-rad-base' ? baseQuestions(dataset, pick) : pick(lists.train);
  return {
    dataset,
    train,
    validation: pick(lists.validation),
    test: pick(lists.test),
    splitHash: splitHash(lists),
  };
}

/** Pretext rows of the allowed images and the questions of half of them: nothing of any test or validation list. */
function baseQuestions(dataset: Dataset, pick: (qids: readonly string[]) => Question[]): Question[] {
  const { qids, pretextImages } = baseTrainingQuestions(dataset.questions);
  return [...pick(qids), ...pretextQuestions(dataset, pretextImages)];
}

export interface Tokenised {
  readonly samples: readonly Sample[];
  /** questions and answers that were cut to the limits */
  readonly truncated: { readonly questions: number; readonly answers: number };
}

export function tokenise(
  questions: readonly Question[],
  { text }: { readonly text: Pick<Manifest['text'], 'maxQuestionTokens' | 'maxAnswerTokens'> },
  tokenizer: VqaTokenizer = loadTokenizer(),
): Tokenised {
  const truncated = { questions: 0, answers: 0 };
  const samples = questions.map(({ qid, imageId, question, answer }) => {
    const q = tokenizer.encodeQuestion(question, text.maxQuestionTokens);
    const a = tokenizer.encodeAnswer(answer, text.maxAnswerTokens);
    truncated.questions += Number(q.truncated);
    truncated.answers += Number(a.truncated);
    return { qid, imageId, questionIds: q.ids, answerIds: a.ids };
  });
  return { samples, truncated };
}

export const imagePaths = (dataset: Dataset, questions: readonly Question[]): Map<string, string> =>
  new Map(questions.map(({ imageId }) => [imageId, dataset.imagePath(imageId)]));
