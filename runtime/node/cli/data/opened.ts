/** @file The data set that a command looks at, in its parts. */
import type { Argv } from 'yargs';
import type { PartName, Parts } from '../../../../datasets/check/parts.js';
import type { Dataset, Question } from '../../../../datasets/dataset.js';
import type { ReadOptions } from '../../../../datasets/formats/format.js';
import { checkCount } from '../main.js';
import { DATA, readFlags } from './read-flags.js';

/** Options of the commands that look at a data set. */
export const dataOptions = <T>(y: Argv<T>) =>
  y
    .positional('data', { type: 'string', demandOption: true, describe: DATA })
    .options(readFlags)
    .option('text-only', {
      type: 'boolean',
      default: false,
      describe: 'look at the rows alone: images may lie elsewhere',
    })
    .option('json', { type: 'boolean', default: false, describe: 'print everything as JSON' })
    .group(['image-col', 'question-col', 'answer-col', 'split-col', 'qid-col'], 'Columns:')
    .group(
      ['answer-type-col', 'question-type-col', 'organ-col', 'modality-col', 'patient-col', 'image-root'],
      'Columns:',
    );

export const splitOption = {
  type: 'string',
  describe:
    "official (the data set's own; default where it has one), image (drawn), or a file that ort-data split wrote",
} as const;

/** Token limits of the model; the decoder's is fixed. */
export const limitOptions = {
  'max-question-tokens': { type: 'number', default: 35, describe: 'question length of the model' },
  'max-answer-tokens': { type: 'number', default: 10, describe: 'answer length of its decoder' },
} as const;

export function limitsOf(flags: { maxQuestionTokens: number; maxAnswerTokens: number }) {
  return {
    question: checkCount(flags.maxQuestionTokens, '--max-question-tokens', 3),
    answer: checkCount(flags.maxAnswerTokens, '--max-answer-tokens', 3),
  };
}

export interface Opened {
  readonly dataset: Dataset;
  readonly parts: Parts;
  /** undefined: the set has no split, all rows count as training */
  readonly split: string | undefined;
  readonly notes: readonly string[];
  readonly imageIds: readonly string[];
}

interface OpenFlags extends Partial<ReadOptions> {
  readonly data: string;
  readonly split?: string | undefined;
  readonly textOnly: boolean;
}

export async function openData(flags: OpenFlags): Promise<Opened> {
  const { openDataset } = await import('../../../../datasets/open-dataset.js');
  const { chooseSplit } = await import('../../../../datasets/choose-split.js');
  const { partsOf } = await import('../../../../datasets/check/parts.js');
  const { readOptions } = await import('../../data.js');
  const dataset = await openDataset(flags.data, { ...readOptions(flags), textOnly: flags.textOnly });
  const { questions } = dataset;
  const split = flags.split ?? (questions.some((q) => q.set !== undefined) ? 'official' : undefined);
  const chosen = split === undefined ? undefined : chooseSplit(dataset, split);
  const parts = chosen ? partsOf(questions, chosen) : { train: questions, validation: [], test: [] };
  const none = ['the data set has no split of its own: all rows count as training'];
  return {
    dataset,
    parts,
    split,
    notes: [...dataset.notes, ...(chosen?.notes ?? none)],
    imageIds: [...new Set(questions.map((q: Question) => q.imageId))],
  };
}

/** As its part names it; rows in none are 'none'. */
export function partOf({ parts }: Opened): Map<string, PartName> {
  return new Map(
    (['train', 'validation', 'test'] as const).flatMap((name) =>
      parts[name].map((q): [string, PartName] => [q.qid, name]),
    ),
  );
}
