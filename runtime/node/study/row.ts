/** @file What a study consists of: rows, each a way to tune a model, each trained with one or more seeds. */
import { z } from 'zod';

/** Flags of one of the commands, without the dashes. */
const flags = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]));
export type Flags = z.infer<typeof flags>;

/** `original`: questions as they are; `instruction`: in templates, with options. Tests ask the original ones. */
export const dataForms = ['original', 'instruction'] as const;
export type DataForm = (typeof dataForms)[number];

export const rowSchema = z.strictObject({
  /** file name without the seed */
  id: z.string(),
  label: z.string(),
  /** of the paper, 1 to 7 */
  tables: z.array(z.number().int()),
  variant: z.string(),
  placement: z.string(),
  form: z.enum(dataForms),
  /** the row whose trained weights it starts from */
  after: z.string().nullable(),
  /** false: the base is only scored */
  trained: z.boolean(),
  build: flags,
  train: flags,
  /** what tells it from the other rows of its grid file */
  varied: flags,
});
export type Row = z.infer<typeof rowSchema>;

/** A row with a seed: one run folder. */
export interface StudyRun {
  readonly row: Row;
  readonly seed: number;
}

export const runId = ({ row, seed }: StudyRun): string => (row.trained ? `${row.id}-s${seed}` : row.id);

/** Of the base: it is scored once. */
export const BASE = 'base';
