/** @file Splits as files: lists of qids with a hash, so that two scores can be known to be of the same split. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { FileError } from '../graph-builder/errors.js';
import type { Dataset, Question, ShippedDataset } from './dataset.js';
import { readJson } from './read-json.js';
import {
  drawSplit,
  type SplitLists,
  type SplitName,
  type SplitOptions,
  sorted,
  splitNames,
} from './split.js';

/** What `ort-data split` says of how it drew. */
const drawnSchema = z.strictObject({
  dataset: z.string(),
  /** no two parts share one: image, patient or question (its wording) */
  by: z.string(),
  testShare: z.number(),
  validationShare: z.number(),
  /** largest distance of perceptual hashes, in bits, of images kept together; null: not looked for */
  nearDuplicateBits: z.number().int().nullable(),
  /** of the rows it was drawn from, see `rowsHash` */
  rowsSha256: z.string(),
});

const splitSchema = z.strictObject({
  name: z.string(),
  seed: z.number().int(),
  train: z.array(z.string()),
  validation: z.array(z.string()),
  test: z.array(z.string()),
  /** Hash of the three lists, see `splitHash`. */
  sha256: z.string(),
  drawn: drawnSchema.optional(),
});
export type Split = SplitLists & Readonly<Omit<z.infer<typeof splitSchema>, keyof SplitLists>>;

/** SHA-256, in hex, of `{"test":[…],"train":[…],"validation":[…]}` without blanks, each list sorted. */
export function splitHash({ train, validation, test }: SplitLists): string {
  const canonical = JSON.stringify({
    test: sorted(test),
    train: sorted(train),
    validation: sorted(validation),
  });
  return createHash('sha256').update(canonical).digest('hex');
}

/** SHA-256, in hex, of the lines [qid, imageId, question or its wordings, answer] as JSON, in the order of the rows. */
export function rowsHash(questions: readonly Question[]): string {
  const hash = createHash('sha256');
  for (const { qid, imageId, question, wordings, answer } of questions)
    hash.update(`${JSON.stringify([qid, imageId, wordings ?? question, answer])}\n`);
  return hash.digest('hex');
}

/** A split drawn anew, with its hash: see `drawSplit`. */
export function makeSplit(
  questions: readonly Question[],
  name: SplitName,
  seed = 0,
  options: SplitOptions = {},
): Split {
  const lists = drawSplit(questions, name, seed, options);
  return { name, seed, ...lists, sha256: splitHash(lists) };
}

/** Reads a split that was published with the dataset. @throws as {@link readSplit}. */
export const loadSplit = (dataset: ShippedDataset, name: SplitName): Split =>
  readSplit(
    dataset,
    dataset.splitPath(name),
    `restore the file as published; splits are ${splitNames.join(', ')}`,
  );

/**
 * Reads a split of a dataset.
 *
 * @throws {FileError} when the file is missing or damaged, its hash is not that of its lists, a qid is
 *   not of the dataset, or a qid stands in two lists.
 */
export function readSplit(
  dataset: Dataset,
  path: string,
  remedy = 'draw it again with ort-data split',
): Split {
  const split = readJson(path, splitSchema, remedy);
  const hash = splitHash(split);
  if (hash !== split.sha256) {
    throw new FileError(`the lists have hash ${hash}, the file says ${split.sha256}`, path, remedy);
  }
  const qids = [...split.train, ...split.validation, ...split.test];
  if (new Set(qids).size !== qids.length) throw new FileError('a qid stands twice', path, remedy);
  const known = new Set(dataset.questions.map((q) => q.qid));
  const unknown = qids.filter((qid) => !known.has(qid));
  if (unknown.length > 0) {
    const what = `${unknown.length} qids are not of ${dataset.name}, e.g. ${unknown[0]}`;
    throw new FileError(what, path, 'use the split file that belongs to the dataset');
  }
  return split;
}
