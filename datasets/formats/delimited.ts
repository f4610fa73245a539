/** @file CSV and TSV, streamed: memory does not grow with the file. */
import { Readable } from 'node:stream';
import Papa from 'papaparse';
import { FileError } from '../../graph-builder/errors.js';
import type { RowReader, RowSink } from './rows.js';
import { textPieces } from './text-file.js';

const remedy = 'give a table whose first line names its columns';

/** Line ends within a row: where the next row starts. */
function lineEnds(row: readonly string[]): number {
  let count = 0;
  for (const cell of row)
    for (let at = cell.indexOf('\n'); at >= 0; at = cell.indexOf('\n', at + 1)) count += 1;
  return count;
}

const isBlank = (row: readonly string[]) => row.length === 1 && row[0]!.trim() === '';

class Table {
  private header: readonly string[] | undefined;
  private line = 1;

  constructor(
    private readonly file: string,
    private readonly sink: RowSink,
  ) {}

  take(row: readonly string[], problem: string | undefined): void {
    const { line, header } = this;
    this.line += 1 + lineEnds(row);
    if (problem && header) this.sink.bad(line, problem);
    else if (isBlank(row)) return;
    else if (!header) this.setHeader(row, line, problem);
    else if (row.length !== header.length)
      this.sink.bad(line, `${row.length} cells, but the header names ${header.length} columns`);
    else this.sink.row(line, Object.fromEntries(header.map((name, c) => [name, row[c]])));
  }

  private setHeader(row: readonly string[], line: number, problem: string | undefined): void {
    const header = row.map((name) => name.trim());
    const where = `${this.file}:${line}`;
    if (problem) throw new FileError(problem, where, remedy);
    const twice = header.find((name, c) => name !== '' && header.indexOf(name) !== c);
    if (twice) throw new FileError(`two columns are named '${twice}'`, where, 'rename one of them');
    this.header = header;
    this.sink.begin(
      header.filter((name) => name !== ''),
      'line',
    );
  }

  end(): void {
    if (!this.header) throw new FileError('the file has no header', this.file, remedy);
  }
}

const problems: Readonly<Record<string, string>> = {
  MissingQuotes: 'a quotation mark is opened here and never closed',
  InvalidQuotes: 'a quotation mark within a quoted cell is not doubled',
};

/** @param delimiter '' for the one that the first rows suggest: comma, semicolon, tab or bar. */
export const delimitedRows =
  (delimiter: string): RowReader =>
  (file, sink) =>
    new Promise((resolve, reject) => {
      const table = new Table(file, sink);
      let failure: unknown;
      const guarded = (act: () => void): boolean => {
        try {
          act();
          return true;
        } catch (error) {
          failure ??= error;
          return false;
        }
      };
      const text = Readable.from(textPieces(file), { objectMode: true });
      Papa.parse<string[]>(text, {
        delimiter,
        delimitersToGuess: [',', ';', '\t', '|'],
        step: ({ data, errors }, parser) => {
          const code = errors.find((e) => e.type === 'Quotes')?.code;
          if (!guarded(() => table.take(data, code && problems[code]))) parser.abort();
        },
        complete: () => {
          text.destroy();
          if (failure === undefined) guarded(() => table.end());
          if (failure === undefined) resolve();
          else reject(failure);
        },
        error: reject,
      });
    });
