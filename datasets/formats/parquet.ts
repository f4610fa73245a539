/** @file Parquet, some thousand rows at a time. */
import type { SchemaTree } from 'hyparquet';
import { FileError } from '../../graph-builder/errors.js';
import type { RowReader, Values } from './rows.js';

const ROWS_AT_ONCE = 5000;

/** Integers of 64 bits become text; all else stays. */
const plain = (row: Values): Values =>
  Object.fromEntries(Object.entries(row).map(([k, v]) => [k, typeof v === 'bigint' ? String(v) : v]));

/** An image within the file, as Hugging Face stores it: {bytes, path}. */
const isImage = ({ children }: SchemaTree) => children.some((c) => c.element.name === 'bytes');

function embeddedError(file: string, column: string): FileError {
  return new FileError(
    `column '${column}' holds the images themselves; they must be files beside the table`,
    file,
    'export them with Python: datasets.Dataset.from_parquet(FILE), save each row.image under a name, and write ' +
      'the names, questions and answers as CSV',
  );
}

export const parquetRows: RowReader = async (file, sink) => {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, parquetSchema } = await import(
    'hyparquet'
  );
  const guarded = async <T>(reading: Promise<T>): Promise<T> => {
    try {
      return await reading;
    } catch (error) {
      const what = `the Parquet file cannot be read: ${(error as Error).message}`;
      throw new FileError(what, file, 'write it again, or as CSV', { cause: error });
    }
  };
  const buffer = await guarded(asyncBufferFromFile(file));
  const metadata = await guarded(parquetMetadataAsync(buffer));
  const columns = parquetSchema(metadata).children;
  const image = columns.find(isImage);
  if (image) throw embeddedError(file, image.element.name);
  sink.begin(
    columns.map((c) => c.element.name),
    'row',
  );
  const total = Number(metadata.num_rows);
  for (let rowStart = 0; rowStart < total; rowStart += ROWS_AT_ONCE) {
    const rowEnd = Math.min(total, rowStart + ROWS_AT_ONCE);
    const rows = await guarded(parquetReadObjects({ file: buffer, metadata, rowStart, rowEnd }));
    for (const [i, row] of rows.entries()) sink.row(rowStart + i + 1, plain(row));
  }
};
