/** @file Parquet, some thousand rows at a time. */
import type { SchemaTree } from 'hyparquet';
import { FileError } from '../../graph-builder/errors.js';
import type { RowReader, Values } from './rows.js';

const ROWS_AT_ONCE = 5000;

/** An opened file. */
export interface ParquetFile {
  readonly columns: readonly string[];
  /** the column that holds images within the file, as Hugging Face stores them: {bytes, path} */
  readonly imageColumn: string | undefined;
  /** All rows, read `atOnce` at a time. Integers of 64 bits come as text, bytes without a type as Uint8Array. */
  rows(atOnce: number): AsyncGenerator<Values>;
}

const plain = (row: Values): Values =>
  Object.fromEntries(Object.entries(row).map(([k, v]) => [k, typeof v === 'bigint' ? String(v) : v]));

const holdsImages = ({ children }: SchemaTree) => children.some((c) => c.element.name === 'bytes');

/** @throws {FileError} when the file is missing or damaged, also while rows are read. */
export async function openParquet(path: string): Promise<ParquetFile> {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, parquetSchema } = await import(
    'hyparquet'
  );
  const guarded = async <T>(reading: Promise<T>): Promise<T> => {
    try {
      return await reading;
    } catch (error) {
      const what = `the Parquet file cannot be read: ${(error as Error).message}`;
      throw new FileError(what, path, 'write it again, or as CSV', { cause: error });
    }
  };
  const file = await guarded(asyncBufferFromFile(path));
  const metadata = await guarded(parquetMetadataAsync(file));
  const columns = parquetSchema(metadata).children;
  const total = Number(metadata.num_rows);
  return {
    columns: columns.map((c) => c.element.name),
    imageColumn: columns.find(holdsImages)?.element.name,
    async *rows(atOnce) {
      for (let rowStart = 0; rowStart < total; rowStart += atOnce) {
        const rowEnd = Math.min(total, rowStart + atOnce);
        const reading = parquetReadObjects({ file, metadata, rowStart, rowEnd, utf8: false });
        for (const row of await guarded(reading)) yield plain(row);
      }
    },
  };
}

export const parquetRows: RowReader = async (path, sink) => {
  const file = await openParquet(path);
  if (file.imageColumn !== undefined)
    throw new FileError(
      `column '${file.imageColumn}' holds the images themselves; they must be files beside the table`,
      path,
      'write them out: ort-data inspect PATH --export-images FOLDER, then give that folder',
    );
  sink.begin(file.columns, 'row');
  let at = 0;
  for await (const row of file.rows(ROWS_AT_ONCE)) sink.row(++at, row);
};
