/** @file The data set in instruction format, so that both forms train and validate on the same questions. */
import { existsSync } from 'node:fs';
import { isAbsolute, join, relative } from 'node:path';
import { type SplitLists, sorted } from '../../../datasets/split.js';
import { splitHash } from '../../../datasets/split-file.js';
import { writeJson } from '../../../training-artifacts/files.js';
import { loadData } from '../data.js';
import type { Command, StudyContext } from './commands.js';

const fileOf = ({ out }: Pick<StudyContext, 'out'>, name: string): string => join(out, 'instruction', name);

/** What `ort-data instruct` writes. */
export const instructionFile = (context: Pick<StudyContext, 'out'>): string =>
  fileOf(context, 'questions.json');
/** Its training and validation questions: those of the study's split. */
export const instructionSplit = (context: Pick<StudyContext, 'out'>): string => fileOf(context, 'split.json');
/** Validation questions count as training ones here, as instruction data are made of training questions. */
const sourceSplit = (context: Pick<StudyContext, 'out'>): string => fileOf(context, 'source-split.json');

export const isInstructed = (context: Pick<StudyContext, 'out'>): boolean =>
  existsSync(instructionFile(context));

/** Writes the data set in instruction format; `prepareInstruction` comes first. */
export const instructCommand = (context: StudyContext): Command => ({
  bin: 'ort-data',
  args: ['instruct', context.data, '--split', sourceSplit(context), '--out', instructionFile(context)],
});

/** A path as seen from here where it lies below. */
function seenFromHere(path: string): string {
  const from = relative(process.cwd(), path);
  return from.startsWith('..') || isAbsolute(from) ? path : from;
}

function writeSplit(path: string, name: string, lists: SplitLists): void {
  const all = { train: sorted(lists.train), validation: sorted(lists.validation), test: sorted(lists.test) };
  writeJson(path, { name, seed: 0, ...all, sha256: splitHash(all) });
}

/**
 * Writes the two splits that the data set in instruction format needs.
 *
 * @returns the folder that image names are below
 */
export async function prepareInstruction(context: StudyContext): Promise<string> {
  const { data, split } = context;
  const { dataset, train, validation, test } = await loadData({ data, split, frame: false });
  const qids = (rows: typeof train) => rows.map((q) => q.qid);
  const [learn, check] = [qids(train), qids(validation)];
  writeSplit(sourceSplit(context), `${split}, validation as training`, {
    train: [...learn, ...check],
    validation: [],
    test: qids(test),
  });
  writeSplit(instructionSplit(context), split, { train: learn, validation: check, test: [] });
  const { imageId } = train[0]!;
  return seenFromHere(dataset.imagePath(imageId).slice(0, -imageId.length - 1));
}
