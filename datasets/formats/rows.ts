/** @file Rows of a table file, whatever its form. */
import { extname } from 'node:path';
import { FileError } from '../../graph-builder/errors.js';
import type { PlaceUnit } from '../dataset.js';
import { delimitedRows } from './delimited.js';
import { jsonRows } from './json-rows.js';
import { parquetRows } from './parquet.js';

export type Values = Readonly<Record<string, unknown>>;

/** Takes rows one by one: no form needs the whole file in memory but a JSON list. */
export interface RowSink {
  /** Called once, before the first row. */
  begin(columns: readonly string[], unit: PlaceUnit): void;
  /** @param at place, from 1 */
  row(at: number, values: Values): void;
  /** A row that is no row. */
  bad(at: number, reason: string): void;
}

export type RowReader = (file: string, sink: RowSink) => Promise<void>;

const readers: Readonly<Record<string, RowReader>> = {
  '.csv': delimitedRows(''),
  '.tsv': delimitedRows('\t'),
  '.tab': delimitedRows('\t'),
  '.json': jsonRows,
  '.jsonl': jsonRows,
  '.ndjson': jsonRows,
  // the ending of the lists of the published MISS code
  '.jsol': jsonRows,
  '.parquet': parquetRows,
};

export const tableEndings: readonly string[] = Object.keys(readers);

export const isTable = (name: string): boolean => extname(name).toLowerCase() in readers;

/** @throws {FileError} for a file that is no table, cannot be read, or is not UTF-8. */
export async function readRows(file: string, sink: RowSink): Promise<void> {
  const reader = readers[extname(file).toLowerCase()];
  if (!reader) {
    const remedy = `give a table that ends in ${tableEndings.join(', ')}`;
    throw new FileError('the file is no table', file, remedy);
  }
  await reader(file, sink);
}
