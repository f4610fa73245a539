/** @file Text files read in pieces as UTF-8; other encodings are named. */
import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { TextDecoder } from 'node:util';
import { FileError } from '../../graph-builder/errors.js';

const PIECE = 2 ** 20;
const NEWLINE = 0x0a;

/** Two bytes a character: a byte order mark, or zero bytes, which text does not have. */
function isUtf16(bytes: Uint8Array): boolean {
  const [a, b] = bytes;
  return (a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff) || bytes.subarray(0, 4096).includes(0);
}

function utf16Error(file: string): FileError {
  const remedy = 'save it as UTF-8 (in Excel: "CSV UTF-8"), or convert it: iconv -f UTF-16 -t UTF-8 IN > OUT';
  return new FileError('the file is UTF-16 (or no text), not UTF-8', file, remedy);
}

/** Names the first line of `bytes` that is not UTF-8, where `lines` lines come before. */
function notUtf8Error(file: string, bytes: Buffer, lines: number): FileError {
  let start = 0;
  let line = lines + 1;
  for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
    if (!isUtf8(bytes.subarray(start, end))) break;
    start = end + 1;
    line += 1;
  }
  const remedy =
    'save it as UTF-8, or convert it, e.g. iconv -f WINDOWS-1252 -t UTF-8 IN > OUT, and look at the accents';
  return new FileError('the text is not UTF-8; probably Latin-1 or Windows-1252', `${file}:${line}`, remedy);
}

function openError(error: unknown, file: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (!code) return error;
  const what = code === 'ENOENT' ? 'file not found' : `file cannot be read (${code})`;
  return new FileError(what, file, 'check the path', { cause: error });
}

/**
 * The text of a file in pieces of about a million characters, without byte order mark.
 *
 * @throws {FileError} when it cannot be read, is empty, or is not UTF-8; the first wrong line is named.
 */
export async function* textPieces(file: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let lines = 0;
  let first = true;
  let rest: Buffer = Buffer.alloc(0);
  try {
    for await (const read of createReadStream(file, { highWaterMark: PIECE })) {
      // cut at a line's end: a character is never cut
      const bytes: Buffer = rest.length > 0 ? Buffer.concat([rest, read as Buffer]) : (read as Buffer);
      if (first && isUtf16(bytes)) throw utf16Error(file);
      first = false;
      const end = bytes.lastIndexOf(NEWLINE) + 1;
      rest = bytes.subarray(end);
      if (end === 0) continue;
      const whole = bytes.subarray(0, end);
      yield decode(decoder, whole, file, lines);
      for (let at = whole.indexOf(NEWLINE); at >= 0; at = whole.indexOf(NEWLINE, at + 1)) lines += 1;
    }
  } catch (error) {
    throw openError(error, file);
  }
  if (first) throw new FileError('the file is empty', file, 'give a table with a header and rows');
  if (rest.length > 0) yield decode(decoder, rest, file, lines);
}

function decode(decoder: TextDecoder, bytes: Buffer, file: string, lines: number): string {
  try {
    return decoder.decode(bytes, { stream: true });
  } catch (error) {
    if (error instanceof TypeError) throw notUtf8Error(file, bytes, lines);
    throw error;
  }
}

/** The whole text of a file that must be taken as one, such as a JSON list. @throws as {@link textPieces}. */
export async function wholeText(file: string): Promise<string> {
  const pieces: string[] = [];
  let length = 0;
  for await (const piece of textPieces(file)) {
    length += piece.length;
    if (length > 2 ** 29 - 100)
      throw new FileError(
        'a JSON list of more than 500 million characters cannot be read at once',
        file,
        'write it as JSONL: one row a line',
      );
    pieces.push(piece);
  }
  return pieces.join('');
}

/** The first piece of a file. @throws as {@link textPieces}. */
export async function firstPiece(file: string): Promise<string> {
  for await (const piece of textPieces(file)) return piece;
  return '';
}
