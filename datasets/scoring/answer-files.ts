/** @file Predictions and reference answers of other programs: JSON lists, JSONL, CSV and TSV. */
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import Papa from 'papaparse';
import { z } from 'zod';
import { FileError } from '../../graph-builder/errors.js';
import type { Question } from '../dataset.js';
import type { MeasuredRow } from './measure.js';
import { isYesNo } from './normalise-answer.js';

/** A row with the line, or the place in a JSON list, that it stands at. */
interface FileRow {
  readonly at: number;
  readonly row: Readonly<Record<string, unknown>>;
}

const FORMATS = 'give a .json list, a .jsonl file with a row a line, or .csv or .tsv with a header';

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8').replace(/^\uFEFF/, '');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const what = code === 'ENOENT' ? 'file not found' : `the file cannot be read (${code})`;
    throw new FileError(what, path, 'check the path', { cause: error });
  }
}

function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FileError(`not JSON: ${(error as Error).message}`, where, FORMATS, { cause: error });
  }
}

function asRow(value: unknown, where: string): FileRow['row'] {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as FileRow['row'];
  throw new FileError('a row is no object with named fields', where, FORMATS);
}

function readTable(text: string, path: string, delimiter: string): FileRow[] {
  const { data, errors } = Papa.parse<Record<string, string>>(text, {
    header: true,
    delimiter,
    skipEmptyLines: 'greedy',
  });
  const [error] = errors;
  if (error) {
    throw new FileError(error.message, `${path}:${(error.row ?? 0) + 2}`, 'mend the row, or give JSONL');
  }
  return data.map((row, i) => ({ at: i + 2, row }));
}

/** @throws {FileError} when the file is missing, of another format or empty. */
function readRows(path: string): FileRow[] {
  const text = readText(path);
  const format = extname(path).toLowerCase();
  const rows = ((): FileRow[] => {
    if (format === '.csv' || format === '.tsv') return readTable(text, path, format === '.csv' ? ',' : '\t');
    if (format === '.jsonl') {
      return text.split('\n').flatMap((line, i) => {
        const where = `${path}:${i + 1}`;
        return line.trim() === '' ? [] : [{ at: i + 1, row: asRow(parseJson(line, where), where) }];
      });
    }
    if (format !== '.json') throw new FileError(`'${format}' is no format of answers`, path, FORMATS);
    const list = parseJson(text, path);
    if (!Array.isArray(list)) throw new FileError('the JSON is no list of rows', path, FORMATS);
    return list.map((value, i) => ({ at: i + 1, row: asRow(value, `${path}:${i + 1}`) }));
  })();
  if (rows.length === 0) throw new FileError('the file has no rows', path, FORMATS);
  return rows;
}

/** Names under which programs write a field, the preferred first. */
const names = {
  qid: ['qid', 'question_id', 'questionId', 'id'],
  prediction: ['prediction', 'predicted_answer', 'pred', 'answer'],
  answer: ['answer', 'gt_answer', 'ground_truth'],
  probability: ['probability', 'confidence'],
  answerType: ['answerType', 'answer_type'],
  question: ['question'],
  organ: ['organ', 'image_organ', 'location'],
  questionType: ['questionType', 'question_type', 'content_type'],
  modality: ['modality'],
} as const;
type Field = keyof typeof names;

const text = (value: unknown): string => String(value ?? '').trim();

function field({ row }: FileRow, of: Field): string | undefined {
  const name = names[of].find((n) => row[n] !== undefined && row[n] !== null);
  return name === undefined ? undefined : text(row[name]);
}

function needed(file: FileRow, of: Field, path: string): string {
  const value = field(file, of);
  if (value !== undefined) return value;
  const columns = Object.keys(file.row).slice(0, 12).join(', ');
  throw new FileError(
    `the row has no ${of}: its fields are ${columns || 'none'}`,
    `${path}:${file.at}`,
    `name a field ${names[of].join(', or ')}`,
  );
}

/** Rows by qid. @throws {FileError} naming both lines of a qid that stands twice. */
function byQid<T extends { readonly qid: string }>(
  files: readonly FileRow[],
  path: string,
  make: (file: FileRow) => T,
): Map<string, T> {
  const lines = new Map<string, number>();
  const rows = new Map<string, T>();
  for (const file of files) {
    const row = make(file);
    const before = lines.get(row.qid);
    if (before !== undefined) {
      const what = `qid ${row.qid} stands twice, in row ${before} and row ${file.at}`;
      throw new FileError(what, `${path}:${file.at}`, 'keep one answer a question');
    }
    lines.set(row.qid, file.at);
    rows.set(row.qid, row);
  }
  return rows;
}

export interface GivenPrediction {
  readonly qid: string;
  readonly prediction: string;
  readonly probability?: number;
}

const share = z.coerce.number().min(0).max(1);

/**
 * Predictions by qid. Fields: `qid` (or question_id, id), `prediction` (or predicted_answer, pred, answer), and
 * `probability` or confidence in [0, 1] where there is one.
 *
 * @throws {FileError} with file and row for a row that lacks one, and for a qid that stands twice.
 */
export function readPredictions(path: string): Map<string, GivenPrediction> {
  return byQid(readRows(path), path, (file) => {
    const given = field(file, 'probability');
    const probability = given === undefined || given === '' ? undefined : share.safeParse(given);
    if (probability && !probability.success) {
      throw new FileError(`'${given}' is no probability`, `${path}:${file.at}`, 'give a number from 0 to 1');
    }
    return {
      qid: needed(file, 'qid', path),
      prediction: needed(file, 'prediction', path),
      ...(probability && { probability: probability.data }),
    };
  });
}

export type Truth = Pick<
  Question,
  'qid' | 'question' | 'answer' | 'answerType' | 'organ' | 'questionType' | 'modality'
>;

export interface TruthFile {
  readonly truth: readonly Truth[];
  /** rows in other languages than English, left out */
  readonly otherLanguages: number;
}

/**
 * Reference answers: our own list of questions, VQA-RAD's or SLAKE's published file, or any table with `qid` and
 * `answer`. Without `answer_type` a question is closed when its answer is yes or no.
 *
 * @throws {FileError} with file and row for a row that lacks one, and for a qid that stands twice.
 */
export function readTruth(path: string): TruthFile {
  const rows = readRows(path);
  const english = rows.filter(({ row }) => row.q_lang === undefined || row.q_lang === 'en');
  const truth = byQid(english, path, (file): Truth => {
    const answer = needed(file, 'answer', path);
    const type = field(file, 'answerType');
    const closed = type === undefined ? isYesNo(answer) : type.toLowerCase() === 'closed';
    const optional = (of: 'organ' | 'questionType' | 'modality') => {
      const value = field(file, of);
      return value ? { [of]: value } : {};
    };
    return {
      qid: needed(file, 'qid', path),
      question: field(file, 'question') ?? '',
      answer,
      answerType: closed ? 'closed' : 'open',
      ...optional('organ'),
      ...optional('questionType'),
      ...optional('modality'),
    };
  });
  if (truth.size === 0) throw new FileError('no row is in English (q_lang en)', path, 'give another file');
  return { truth: [...truth.values()], otherLanguages: rows.length - english.length };
}

const few = (qids: readonly string[]): string =>
  `${qids.slice(0, 3).join(', ')}${qids.length > 3 ? ' …' : ''}`;

/**
 * Each reference answer with its prediction.
 *
 * @throws {FileError} when a question has no prediction, or a prediction no question: a score over fewer, or other,
 * questions could not be compared.
 */
export function pairAnswers(
  truth: readonly Truth[],
  predictions: ReadonlyMap<string, GivenPrediction>,
  where: string,
): (MeasuredRow & Truth)[] {
  const missing = truth.filter(({ qid }) => !predictions.has(qid)).map(({ qid }) => qid);
  const known = new Set(truth.map(({ qid }) => qid));
  const extra = [...predictions.keys()].filter((qid) => !known.has(qid));
  const parts = [
    ...(missing.length > 0
      ? [`${missing.length} of ${truth.length} questions have no prediction (${few(missing)})`]
      : []),
    ...(extra.length > 0
      ? [`${extra.length} predictions are of questions that the truth has not (${few(extra)})`]
      : []),
  ];
  if (parts.length > 0) {
    throw new FileError(
      parts.join('; '),
      where,
      'predict exactly the questions of the truth, an answer each',
    );
  }
  return truth.map((row) => ({ ...row, ...predictions.get(row.qid)! }));
}
