/** @file Where the entries of a zip file lie. Names are labels: nothing is ever extracted. */
import yauzl from 'yauzl';
import { FileError } from '../../../graph-builder/errors.js';
import { damaged, printable } from './source.js';

export interface ZipEntry {
  readonly name: string;
  /** where its bytes start in the file */
  readonly offset: number;
  /** bytes in the file */
  readonly length: number;
  /** bytes when inflated; the same for a stored entry */
  readonly size: number;
  readonly deflated: boolean;
}

const MAX_ENTRIES = 2 ** 18;
/** Characters of all names together: they are kept in memory. */
const MAX_NAMES = 2 ** 25;

function checkEntry(entry: yauzl.Entry, offset: number, path: string, fileBytes: number): ZipEntry {
  const where = `${path}, entry ${printable(entry.fileName)}`;
  const { compressionMethod: method, compressedSize: length, uncompressedSize: size } = entry;
  if (entry.isEncrypted())
    throw new FileError('the entry is encrypted', where, 'save the file without a password');
  if (method !== 0 && method !== 8)
    throw new FileError(`the entry is compressed by method ${method}`, where, 'save it without compression');
  if (!(offset >= 0 && offset + length <= fileBytes)) throw damaged('the entry lies outside the file', where);
  if (method === 0 && length !== size) throw damaged(`${length} bytes are to be ${size}`, where);
  // deflate cannot shrink anything to less than a 1,032th
  if (method === 8 && size > 1032 * length + 1024)
    throw damaged(`the entry claims to hold ${size} bytes in ${length}`, where);
  return { name: entry.fileName, offset, length, size, deflated: method === 8 };
}

async function readEntries(zip: yauzl.ZipFile, path: string): Promise<Map<string, ZipEntry>> {
  if (zip.entryCount > MAX_ENTRIES) throw damaged(`the zip file has ${zip.entryCount} entries`, path);
  const entries = new Map<string, ZipEntry>();
  let characters = 0;
  for await (const entry of zip.eachEntry()) {
    if (entries.has(entry.fileName))
      throw damaged(`two entries are called ${printable(entry.fileName)}`, path);
    characters += entry.fileName.length;
    if (characters > MAX_NAMES) throw damaged(`names of more than ${MAX_NAMES} characters`, path);
    const { fileDataStart } = await zip.readLocalFileHeaderPromise(entry, { minimal: true });
    entries.set(entry.fileName, checkEntry(entry, fileDataStart, path, zip.fileSize));
  }
  return entries;
}

/** @throws {FileError} for a damaged zip file, names that leave it (`..`), and sizes that cannot be. */
export async function zipEntries(path: string): Promise<Map<string, ZipEntry>> {
  let zip: yauzl.ZipFile | undefined;
  try {
    zip = await yauzl.openPromise(path, { lazyEntries: true, autoClose: false });
    return await readEntries(zip, path);
  } catch (error) {
    if (error instanceof FileError) throw error;
    throw damaged(`the zip file is damaged: ${printable((error as Error).message)}`, path, error);
  } finally {
    zip?.close();
  }
}
