/** @file From a published VQA-RAD row to a row of `questions.json`. */
import { z } from 'zod';
import type { Question } from '../dataset.js';

/** A row of the published trainset.json and testset.json, flaws included. */
export const publishedRowSchema = z.object({
  qid: z.number().int(),
  image_name: z.string(),
  image_organ: z.enum(['CHEST', 'ABD', 'HEAD']),
  question: z.string(),
  answer: z.union([z.string(), z.number()]),
  answer_type: z.string(),
  question_type: z.string(),
  phrase_type: z.enum(['freeform', 'para', 'frame']),
});
export type PublishedRow = z.infer<typeof publishedRowSchema>;

/** Typing slips of `question_type`. */
const slips: Readonly<Record<string, string>> = { ATRIB: 'ATTRIB', PRSE: 'PRES' };

// U+FFFD stands once in the published text, where an apostrophe was.
const tidy = (text: string) => text.replaceAll('\uFFFD', "'").replace(/\s+/g, ' ').trim();

/** The row with trimmed strings, string answers and one spelling for each type; no wording is changed. */
export function cleanRow(row: PublishedRow, set: Question['set']): Question {
  return {
    qid: String(row.qid),
    imageId: row.image_name.trim(),
    question: tidy(row.question),
    answer: tidy(String(row.answer)),
    answerType: row.answer_type.trim() === 'CLOSED' ? 'closed' : 'open',
    questionType: row.question_type
      .split(',')
      .map((type) => type.trim().toUpperCase())
      .map((type) => slips[type] ?? type)
      .join(', '),
    organ: row.image_organ,
    phraseType: row.phrase_type,
    set,
  };
}
