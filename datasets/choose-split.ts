/** @file The three parts of a data set by the name of a split, or by a file of one. */
import { UserError } from '../graph-builder/errors.js';
import type { Dataset, Question } from './dataset.js';
import { drawSplit, type SplitLists, type SplitName, splitNames } from './split.js';
import { loadSplit, readSplit, rowsHash } from './split-file.js';

/** A name of a split, or a file that `ort-data split` wrote. */
export const isSplit = (split: string): boolean =>
  (splitNames as readonly string[]).includes(split) || split.endsWith('.json');

export interface ChosenSplit extends SplitLists {
  /** what is worth a word: rows in no part, rows changed since the split was drawn */
  readonly notes: readonly string[];
}

function fromFile(dataset: Dataset, path: string): ChosenSplit {
  const split = readSplit(dataset, path);
  const unused = dataset.questions.length - split.train.length - split.validation.length - split.test.length;
  const changed = split.drawn && split.drawn.rowsSha256 !== rowsHash(dataset.questions);
  return {
    ...split,
    notes: [
      ...(unused > 0 ? [`${unused} questions are in no part of ${path}`] : []),
      ...(changed ? [`the rows have changed since ${path} was drawn`] : []),
    ],
  };
}

function checkNamed(questions: readonly Question[], name: SplitName, frame: boolean): void {
  if (frame && !questions.some((q) => q.phraseType === 'frame'))
    throw new UserError('the data set has no templated restatements', '--frame', 'leave it out: VQA-RAD has');
  if (name === 'official' && !questions.some((q) => q.set !== undefined))
    throw new UserError(
      'the data set says of no row whether it is for training or test',
      '--split official',
      'name its column with --split-col, use --split image, or a file that ort-data split writes',
    );
}

/**
 * @param split `official`, `image`, or the path of a split file
 * @param frame train on VQA-RAD's templated rows, too
 * @throws {UserError} for an unknown name, or one that the rows cannot give; {@link FileError} for a file.
 */
export function chooseSplit(dataset: Dataset, split: string, frame = false): ChosenSplit {
  const { questions, splitPath } = dataset;
  if (!isSplit(split)) {
    const remedy = `choose from ${splitNames.join(', ')}, or give a file that ort-data split wrote (.json)`;
    throw new UserError(`unknown split '${split}'`, '--split', remedy);
  }
  if (split.endsWith('.json')) {
    if (frame) throw new UserError('a split file says itself what trains', '--frame', 'leave it out');
    return fromFile(dataset, split);
  }
  const name = split as SplitName;
  checkNamed(questions, name, frame);
  if (splitPath && !frame) return { ...loadSplit({ ...dataset, splitPath }, name), notes: [] };
  return { ...drawSplit(questions, name, 0, { frame }), notes: [] };
}
