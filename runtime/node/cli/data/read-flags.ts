/** @file The flags that say how a data set is read: the same in every command that takes one. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

/** Without its flag a column is found by the names that tables usually have. */
const column = (what: string) => ({ type: 'string', describe: `column of ${what}` }) as const;

export const readFlags = {
  'image-col': column("the images' file names; columns not given are found by their usual names"),
  'question-col': column('the questions'),
  'answer-col': column('the answers'),
  'split-col': column('train, validation or test'),
  'qid-col': column("the questions' ids; without one they are counted"),
  'answer-type-col': column('closed or open; without one yes/no answers are closed'),
  'question-type-col': column('what is asked about'),
  'organ-col': column('the body region'),
  'modality-col': column('the kind of image'),
  'patient-col': column('a pseudonym of the patient'),
  'image-root': {
    type: 'string',
    describe: 'folder that the image names are below; default: beside the table',
  },
  language: {
    type: 'string',
    describe:
      'questions in this language only, of SLAKE or a table with a column q_lang; of SLAKE default en, else zh',
  },
  'skip-bad': { type: 'boolean', describe: 'leave rows out that cannot be used, and say how many and which' },
} as const;

export const DATA =
  'vqa-rad (ships with the package), a folder (SLAKE or VQA-RAD as published, or images and a table), or a table: .csv, .tsv, .json, .jsonl, .parquet';

/** A path that also means the same from another folder; a name, or what is not there, stays as given. */
export const absolute = (path: string): string => (existsSync(path) ? resolve(path) : path);
