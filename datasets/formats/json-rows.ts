/** @file JSON: a list of objects, or one object a line. */
import { FileError } from '../../graph-builder/errors.js';
import type { RowReader, RowSink, Values } from './rows.js';
import { firstPiece, textPieces, wholeText } from './text-file.js';

/** Rows that are looked at to know the columns: a row need not have all. */
const LOOK_AHEAD = 100;

const remedy = 'give a list of objects [{...}, {...}], or one object a line (JSONL)';

const isObject = (value: unknown): value is Values =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const NO_OBJECT = 'the row is no object {...}';

/** Lines on which the elements of a JSON list start. */
export function elementLines(text: string): number[] {
  const lines: number[] = [];
  let line = 1;
  let depth = 0;
  let inString = false;
  let expected = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === '\n') line += 1;
    if (inString) {
      if (c === '\\') i += 1;
      else if (c === '"') inString = false;
      continue;
    }
    if (expected && !/[\s\],]/.test(c)) {
      lines.push(line);
      expected = false;
    }
    if (c === '"') inString = true;
    else if (c === '[' || c === '{') expected = ++depth === 1;
    else if (c === ']' || c === '}') depth -= 1;
    else if (c === ',') expected = depth === 1;
  }
  return lines;
}

function columnsOf(rows: Iterable<unknown>): string[] {
  const names = new Set<string>();
  for (const row of rows) if (isObject(row)) for (const name of Object.keys(row)) names.add(name);
  return [...names];
}

async function listRows(file: string, sink: RowSink): Promise<void> {
  const text = await wholeText(file);
  let rows: unknown;
  try {
    rows = JSON.parse(text);
  } catch (error) {
    const what = `damaged or truncated JSON of ${text.length} characters: ${(error as Error).message}`;
    throw new FileError(what, file, remedy, { cause: error });
  }
  if (!Array.isArray(rows)) throw new FileError('the file is no list of rows', file, remedy);
  const lines = elementLines(text);
  const unit = new Set(lines).size === rows.length ? 'line' : 'row';
  sink.begin(columnsOf(rows), unit);
  for (const [i, row] of rows.entries()) {
    const at = unit === 'line' ? lines[i]! : i + 1;
    if (isObject(row)) sink.row(at, row);
    else sink.bad(at, NO_OBJECT);
  }
}

async function* linesOf(file: string): AsyncGenerator<[number, string]> {
  let line = 0;
  for await (const piece of textPieces(file)) {
    const lines = piece.split('\n');
    if (lines.at(-1) === '') lines.pop(); // pieces end where lines end
    for (const text of lines) yield [++line, text];
  }
}

function parseLine(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function lineRows(file: string, sink: RowSink): Promise<void> {
  let waiting: [number, unknown][] | undefined = [];
  const give = ([line, row]: [number, unknown]) => {
    if (isObject(row)) sink.row(line, row);
    else sink.bad(line, row === undefined ? 'the line is not JSON' : NO_OBJECT);
  };
  const release = () => {
    sink.begin(columnsOf(waiting!.map(([, row]) => row)), 'line');
    for (const row of waiting!) give(row);
    waiting = undefined;
  };
  for await (const [line, text] of linesOf(file)) {
    if (text.trim() === '') continue;
    const row: [number, unknown] = [line, parseLine(text)];
    if (!waiting) give(row);
    else if (waiting.push(row) === LOOK_AHEAD) release();
  }
  if (waiting) release();
}

/** Which of the two forms it is shows in the content: both are named `.json` in the wild. */
export const jsonRows: RowReader = async (file, sink) => {
  const start = (await firstPiece(file)).trimStart();
  if (start.startsWith('[')) return listRows(file, sink);
  const first = parseLine(start.split('\n', 1)[0]!);
  // an object that holds lists of objects is a file, not a row
  const holdsRows = isObject(first) && Object.values(first).some((v) => Array.isArray(v) && v.some(isObject));
  if (!isObject(first) || holdsRows) throw new FileError('the file is no list of rows', file, remedy);
  await lineRows(file, sink);
};
