/** @file What a visual question answering dataset is here: questions, and where their images lie. */
import { z } from 'zod';

/** One question about one image, with its reference answer. */
export const questionSchema = z.strictObject({
  qid: z.string().min(1),
  /** Bare file name of the image; no folder, so that no row can reach outside the image folder. */
  imageId: z.string().regex(/^[\w-][\w.-]*$/, 'a bare file name is expected'),
  question: z.string().min(1),
  answer: z.string().min(1),
  /** As published: `closed` has a limited choice (mostly yes or no), `open` has not. */
  answerType: z.enum(['closed', 'open']),
  /** What is asked about, e.g. `PRES` or `POS, ABN`. */
  questionType: z.string(),
  organ: z.enum(['CHEST', 'ABD', 'HEAD']),
  /** `para` rewords a `freeform` question; `frame` is made from a template. */
  phraseType: z.enum(['freeform', 'para', 'frame']),
  /** The published split. */
  set: z.enum(['train', 'test']),
});

export type Question = z.infer<typeof questionSchema>;
export type Organ = Question['organ'];

/** Rows of a dataset; a qid stands for one row only. */
export const questionsSchema = z.array(questionSchema).superRefine((questions, context) => {
  const seen = new Set<string>();
  for (const [row, { qid }] of questions.entries()) {
    if (seen.has(qid)) context.addIssue({ code: 'custom', path: [row, 'qid'], message: `qid ${qid} twice` });
    seen.add(qid);
  }
});

export interface Dataset {
  readonly name: string;
  readonly licence: string;
  readonly questions: readonly Question[];
  /** Path of an image file. */
  imagePath(imageId: string): string;
  /** Path of the file of a split, see `loadSplit`. */
  splitPath(name: string): string;
}
