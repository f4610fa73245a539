/** @file What a visual question answering dataset is here: questions, and where their images lie. */
import { z } from 'zod';

/** Path of an image below the image folder: no row can reach outside. */
const imageId = z
  .string()
  .regex(/^[^/\\]+(\/[^/\\]+)*$/, 'a path below the image folder is expected, with / between folders')
  .refine(
    (path) => !path.split('/').some((part) => part === '..' || part === '.'),
    'no . or .. may be in a path',
  );

const text = z.string({ error: 'is missing' }).min(1, 'is empty');

/** One question about one image, with its reference answer. What a data set does not say is left out. */
export const questionSchema = z.strictObject({
  qid: text,
  imageId,
  question: text,
  answer: text,
  /** As published: `closed` has a limited choice (mostly yes or no), `open` has not. */
  answerType: z.enum(['closed', 'open']),
  /** What is asked about, e.g. `PRES` or `POS, ABN`. */
  questionType: z.string().optional(),
  /** Body region, e.g. `CHEST`. */
  organ: z.string().optional(),
  /** How the image was taken, e.g. `CT`. */
  modality: z.string().optional(),
  /** A pseudonym that the images of one patient share. */
  patient: z.string().optional(),
  /** `para` rewords a `freeform` question; `frame` is made from a template. */
  phraseType: z.enum(['freeform', 'para', 'frame']).optional(),
  /** The published split. */
  set: z.enum(['train', 'validation', 'test']).optional(),
  /** Instruction format: the question in several templates, with options; one is drawn at each visit. */
  wordings: z.array(text).optional(),
});

export type Question = z.infer<typeof questionSchema>;
export type SetName = NonNullable<Question['set']>;

/** Rows of a dataset; a qid stands for one row only. */
export const questionsSchema = z.array(questionSchema).superRefine((questions, context) => {
  const seen = new Set<string>();
  for (const [row, { qid }] of questions.entries()) {
    if (seen.has(qid)) context.addIssue({ code: 'custom', path: [row, 'qid'], message: `qid ${qid} twice` });
    seen.add(qid);
  }
});

/** How places in a file are counted, from 1: rows where several rows share a line, or there are no lines. */
export type PlaceUnit = 'line' | 'row';

/** A row that cannot be used. */
export interface BadRow {
  readonly file: string;
  readonly unit: PlaceUnit;
  readonly at: number;
  readonly reason: string;
}

/** @example placeOf({ file: 'a.csv', unit: 'line', at: 3 }) // 'a.csv:3' */
export const placeOf = ({ file, unit, at }: Omit<BadRow, 'reason'>): string =>
  unit === 'line' ? `${file}:${at}` : `${file} row ${at}`;

export interface Dataset {
  readonly name: string;
  readonly licence: string;
  readonly questions: readonly Question[];
  /** Which columns were read, where the images lie, what was left out: in words, for the reader of a score. */
  readonly notes: readonly string[];
  /** Rows left out: by `--skip-bad`, or as flaws known of a published set. */
  readonly skipped: readonly BadRow[];
  /** Path of an image file. */
  imagePath(imageId: string): string;
  /** Path of the file of a split, where they ship with the data set; else splits are drawn from the rows. */
  readonly splitPath?: (name: string) => string;
}

/** A data set whose splits ship as files, see `loadSplit`. */
export type ShippedDataset = Dataset & Required<Pick<Dataset, 'splitPath'>>;
