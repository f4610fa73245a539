/** @file Tables of questions about images, as users have them: CSV with a header line, or JSON. */
import Papa from 'papaparse';
import { hash32 } from '../../../datasets/random.js';
import { FileError } from '../../../graph-builder/errors.js';

export interface TableRow {
  readonly qid: string;
  /** file name of the image, without folders */
  readonly imageId: string;
  readonly question: string;
  readonly answer: string;
  readonly split: 'train' | 'validation';
}

/** Names that a column may have, as VQA sets in use have them; case and _ - do not count. */
const columns = {
  qid: ['qid', 'id', 'questionid'],
  imageId: ['image', 'imageid', 'imagename', 'imagefile', 'img', 'imgname', 'filename', 'file'],
  question: ['question', 'q', 'prompt'],
  answer: ['answer', 'a', 'label'],
  split: ['split', 'set'],
} as const;
type Field = keyof typeof columns;

/** Share of the images whose questions check the training, where the table does not say. */
const VALIDATION = 0.1;

type Raw = Readonly<Record<string, unknown>>;

const plain = (name: string): string => name.toLowerCase().replaceAll(/[\s_-]/g, '');

function readCsv(text: string, name: string): Raw[] {
  const { data, errors } = Papa.parse<Raw>(text.replace(/^\uFEFF/, ''), {
    header: true,
    skipEmptyLines: 'greedy',
  });
  const error = errors.find(({ type }) => type !== 'Delimiter');
  if (!error) return data;
  // papaparse counts the header line in errors of quotes only
  const line = (error.row ?? 0) + (error.type === 'Quotes' ? 1 : 2);
  throw new FileError(
    `${error.message}`,
    `${name}, line ${line}`,
    'save the table as CSV with a header line',
  );
}

/** A list of rows, or an object that holds one (e.g. `{"questions": […]}`). */
function readJsonRows(text: string, name: string): Raw[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new FileError(
      `not JSON: ${(cause as Error).message}`,
      name,
      'give CSV, or JSON that is a list of rows',
      { cause },
    );
  }
  const list = Array.isArray(json) ? json : Object.values(json ?? {}).find(Array.isArray);
  if (list) return list as Raw[];
  throw new FileError(
    'the JSON holds no list of rows',
    name,
    'give a list of objects with image, question, answer',
  );
}

function fieldNames(raw: Raw, name: string): Partial<Record<Field, string>> {
  const found: Partial<Record<Field, string>> = {};
  for (const [field, names] of Object.entries(columns) as [Field, readonly string[]][]) {
    // in the order of preference: 'image' before 'file'
    const key = names.map((n) => Object.keys(raw).find((k) => plain(k) === n)).find((k) => k !== undefined);
    if (key !== undefined) found[field] = key;
  }
  for (const field of ['imageId', 'question', 'answer'] as const) {
    if (found[field] !== undefined) continue;
    throw new FileError(
      `no column for the ${field === 'imageId' ? 'image' : field}`,
      name,
      `name one of them ${columns[field][0]}; there are ${Object.keys(raw).join(', ')}`,
    );
  }
  return found;
}

const splitOf = (word: string, imageId: string): TableRow['split'] | undefined => {
  if (/^(train|training)$/i.test(word)) return 'train';
  if (/^(val|valid|validation|dev)$/i.test(word)) return 'validation';
  if (word !== '') return undefined; // test rows are neither learned from nor looked at
  return hash32('validation', imageId) / 2 ** 32 < VALIDATION ? 'validation' : 'train';
};

/**
 * Rows of a table. Test rows are left out; without a column `split` one in ten images checks the training.
 *
 * @param name of the file, for messages; its ending does not matter
 * @throws {FileError} naming line or column.
 */
export function readTable(text: string, name: string): TableRow[] {
  const raw = /^\s*[[{]/.test(text) ? readJsonRows(text, name) : readCsv(text, name);
  if (raw.length === 0) throw new FileError('the table is empty', name, 'give one row a question');
  const fields = fieldNames(raw[0]!, name);
  const value = (row: Raw, field: Field) =>
    fields[field] === undefined ? '' : String(row[fields[field]] ?? '').trim();
  return raw.flatMap((row, i) => {
    const [question, answer, path] = [value(row, 'question'), value(row, 'answer'), value(row, 'imageId')];
    if (question === '' || answer === '' || path === '')
      throw new FileError(
        'image, question or answer is empty',
        `${name}, row ${i + 1}`,
        'fill it in, or delete the row',
      );
    const imageId = path.split(/[/\\]/).at(-1)!;
    const split = splitOf(value(row, 'split'), imageId);
    return split ? [{ qid: value(row, 'qid') || `row${i + 1}`, imageId, question, answer, split }] : [];
  });
}
