/** @file Images out of Parquet files, as Hugging Face keeps data sets, into a folder with a table. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { extname, join } from 'node:path';
import { openParquet } from '../../datasets/formats/parquet.js';
import { setOfName } from '../../datasets/formats/sets.js';
import { tablesOf } from '../../datasets/formats/table.js';
import { sourceOf } from '../../datasets/open-dataset.js';
import { FileError, UserError } from '../../graph-builder/errors.js';
import { writeAtomic } from '../../training-artifacts/files.js';

/** Images are large: few rows at once. */
const ROWS_AT_ONCE = 64;

export interface Exported {
  readonly rows: number;
  readonly images: number;
}

/** The ending that the content asks for. */
function endingOf(bytes: Uint8Array): string {
  const start = Buffer.from(bytes.subarray(0, 4)).toString('latin1');
  if (start === '\x89PNG') return '.png';
  if (start.startsWith('\xff\xd8')) return '.jpg';
  if (start === 'RIFF') return '.webp';
  return '.tif';
}

interface Sink {
  readonly folder: string;
  readonly lines: string[];
  /** names by hash of the content: an image that many rows ask about is written once */
  readonly written: Map<string, string>;
}

/** Writes the image unless it is there, and returns its name below the folder. */
function writeImage({ folder, written }: Sink, bytes: Uint8Array): string {
  const hash = createHash('sha256').update(bytes).digest('hex');
  let name = written.get(hash);
  if (!name) {
    name = `images/${hash.slice(0, 32)}${endingOf(bytes)}`;
    writeAtomic(join(folder, name), bytes);
    written.set(hash, name);
  }
  return name;
}

async function exportFile(path: string, name: string, sink: Sink): Promise<void> {
  const file = await openParquet(path);
  const { imageColumn } = file;
  if (imageColumn === undefined)
    throw new FileError('the file holds no images', path, 'give the table itself: it need not be exported');
  const set = setOfName(name);
  let at = 0;
  for await (const row of file.rows(ROWS_AT_ONCE)) {
    at += 1;
    const { bytes } = (row[imageColumn] ?? {}) as { bytes?: unknown };
    if (!(bytes instanceof Uint8Array))
      throw new FileError('a row has no image', `${path} row ${at}`, 'leave the row out of the file');
    const values = { ...row, [imageColumn]: writeImage(sink, bytes), ...(set && { split: set }) };
    sink.lines.push(`${JSON.stringify(values)}\n`);
  }
}

/**
 * Writes the images of one or several Parquet files into `folder/images`, and the rows into `folder/table.jsonl`.
 *
 * @throws {UserError} when the folder is not empty, or a file is not Parquet with images.
 */
export async function exportImages(path: string, folder: string): Promise<Exported> {
  if (existsSync(folder) && readdirSync(folder).length > 0)
    throw new UserError('the folder is not empty', `--export-images ${folder}`, 'give a new one');
  const source = sourceOf(path);
  const names = tablesOf(source);
  const other = names.find((name) => extname(name).toLowerCase() !== '.parquet');
  if (other)
    throw new FileError(
      'only Parquet files hold images',
      join(source.folder, other),
      'leave --export-images out',
    );
  mkdirSync(folder, { recursive: true });
  const sink: Sink = { folder, lines: [], written: new Map() };
  try {
    for (const name of names) await exportFile(join(source.folder, name), name, sink);
    writeAtomic(join(folder, 'table.jsonl'), sink.lines.join(''));
  } catch (error) {
    rmSync(join(folder, 'images'), { recursive: true, force: true });
    throw error;
  }
  return { rows: sink.lines.length, images: sink.written.size };
}
