/** @file Data sets by name or path, split and tokenised. */
import { chooseSplit } from '../../datasets/choose-split.js';
import type { Dataset, Question } from '../../datasets/dataset.js';
import { type ReadOptions, readDefaults } from '../../datasets/formats/format.js';
import { loadTokenizer } from '../../datasets/load-tokenizer.js';
import { openDataset } from '../../datasets/open-dataset.js';
import { rowsHash, splitHash } from '../../datasets/split-file.js';
import type { VqaTokenizer } from '../../datasets/tokenizer.js';
import { baseTrainingQuestions } from '../../datasets/vqa-rad/base-split.js';
import { pretextQuestions } from '../../datasets/vqa-rad/pretext.js';
import type { Manifest } from '../../training-artifacts/graphs/manifest.js';
import type { Sample } from '../core/batch.js';

/** Beside those of `openDataset`: what the shipped base weights are trained on. */
const BASE = 'vqa-rad-base';

export interface DataOptions extends Partial<ReadOptions> {
  /** a shipped set, 'vqa-rad-base', or the path of a folder or table */
  readonly data: string;
  /** official, image, or the path of a split file */
  readonly split: string;
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
  /** of the training and validation rows, see `rowsHash` */
  readonly rowsHash: string;
  /** what the user should know of how it was read and split */
  readonly notes: readonly string[];
}

/** @throws {UserError} for an unknown name or split; {@link FileError} for what cannot be read. */
export async function loadData({ data, split, frame, ...read }: DataOptions): Promise<LoadedData> {
  const isBase = data === BASE;
  const dataset = await openDataset(isBase ? 'vqa-rad' : data, readOptions(read));
  const lists = chooseSplit(dataset, split, frame);
  const byId = new Map(dataset.questions.map((q) => [q.qid, q]));
  const pick = (qids: readonly string[]) => qids.map((qid) => byId.get(qid)!);
  const train = isBase ? baseQuestions(dataset, pick) : pick(lists.train);
  const validation = pick(lists.validation);
  return {
    dataset,
    train,
    validation,
    test: pick(lists.test),
    splitHash: splitHash(lists),
    rowsHash: rowsHash([...train, ...validation]),
    notes: [...dataset.notes, ...lists.notes],
  };
}

/** Those of the options that say how a data set is read. */
export const readOptions = (options: Partial<ReadOptions>): Partial<ReadOptions> =>
  Object.fromEntries(Object.entries(options).filter(([key]) => key in readDefaults));

/** Pretext rows of the allowed images and the questions of half of them: nothing of any test or validation list. */
function baseQuestions(dataset: Dataset, pick: (qids: readonly string[]) => Question[]): Question[] {
  const { qids, pretextImages } = baseTrainingQuestions(dataset.questions);
  return [...pick(qids), ...pretextQuestions(dataset, pretextImages)];
}

export interface Tokenised {
  readonly samples: readonly Sample[];
  /** questions and answers that were cut to the limits */
  readonly truncated: { readonly questions: number; readonly answers: number; readonly wordings: number };
}

export function tokenise(
  questions: readonly Question[],
  { text }: { readonly text: Pick<Manifest['text'], 'maxQuestionTokens' | 'maxAnswerTokens'> },
  tokenizer: VqaTokenizer = loadTokenizer(),
): Tokenised {
  const truncated = { questions: 0, answers: 0, wordings: 0 };
  const samples = questions.map(({ qid, imageId, question, answer, wordings }): Sample => {
    const q = tokenizer.encodeQuestion(question, text.maxQuestionTokens);
    const a = tokenizer.encodeAnswer(answer, text.maxAnswerTokens);
    const forms = wordings?.map((form) => tokenizer.encodeQuestion(form, text.maxQuestionTokens));
    truncated.questions += Number(q.truncated);
    truncated.answers += Number(a.truncated);
    truncated.wordings += forms?.filter((form) => form.truncated).length ?? 0;
    return {
      qid,
      imageId,
      questionIds: q.ids,
      answerIds: a.ids,
      ...(forms && { wordings: forms.map((form) => form.ids) }),
    };
  });
  return { samples, truncated };
}

export const imagePaths = (dataset: Dataset, questions: readonly Question[]): Map<string, string> =>
  new Map(questions.map(({ imageId }) => [imageId, dataset.imagePath(imageId)]));
