/** @file Downloads of weights: kept in the browser, checked against their hash, taken up again where they broke off. */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { FileError } from '../../graph-builder/errors.js';
import {
  alone,
  hasSync,
  isStorageFull,
  keptFile,
  keptFolder,
  openSync,
  removeKept,
  type SyncFile,
} from './opfs.js';

export interface Download {
  readonly url: string;
  /** hexadecimal, of the whole file */
  readonly sha256: string;
  readonly onProgress?: ((bytes: number, total: number) => void) | undefined;
  /** things that the user should know, such as that nothing could be kept */
  readonly onNote?: ((note: DownloadNote) => void) | undefined;
}

/** storage-full and no-storage: the file is in memory and is downloaded again next time. */
export type DownloadNote = 'storage-full' | 'no-storage' | 'other-tab';

const FOLDER = 'weights';
/** Bytes that are hashed at once when a download goes on. */
const PIECE = 2 ** 22;

const partName = (hash: string) => `${hash}.part`;
/** An empty file beside a part says that it is whole and was checked. */
const doneName = (hash: string) => `${hash}.done`;

function damaged(url: string, what: string): FileError {
  return new FileError(
    what,
    url,
    'load the page again; if that does not help, the file on the server is damaged: copy it again',
  );
}

/** The file if it was downloaded whole before. */
export async function keptDownload(hash: string): Promise<Blob | undefined> {
  const folder = await keptFolder(FOLDER);
  if (!folder || !(await keptFile(folder, doneName(hash)))) return undefined;
  return keptFile(folder, partName(hash));
}

/**
 * The content of a URL, from the browser's storage if it is there.
 *
 * In workers a broken download goes on with a Range request when it is asked for again. Another tab that downloads the same
 * file is waited for.
 *
 * @throws {FileError} when the server does not answer, the file is cut short or its hash is another.
 */
export async function download(request: Download): Promise<Blob> {
  const { onNote = () => {}, url } = request;
  const folder = await keptFolder(FOLDER);
  if (!folder) {
    onNote('no-storage');
    return inMemory(request);
  }
  const into = hasSync() ? intoStorage : thenIntoStorage;
  return alone(
    `mile-ort ${request.sha256}`,
    async () => (await keptDownload(request.sha256)) ?? (await into(request, folder)),
    () => onNote('other-tab'),
  ).catch((error) => {
    if (!isStorageFull(error)) throw error instanceof Error ? error : damaged(url, String(error));
    onNote('storage-full');
    return inMemory(request);
  });
}

async function intoStorage(request: Download, folder: FileSystemDirectoryHandle): Promise<Blob> {
  const name = partName(request.sha256);
  const file = await openSync(folder, name);
  try {
    await fill(file, request);
  } catch (error) {
    file.close();
    if (isStorageFull(error)) await removeKept(folder, name);
    throw error;
  }
  file.close();
  await folder.getFileHandle(doneName(request.sha256), { create: true });
  return (await keptFile(folder, name))!;
}

/** In a window, which has no synchronous files: the whole is kept at once. */
async function thenIntoStorage(request: Download, folder: FileSystemDirectoryHandle): Promise<Blob> {
  const blob = await inMemory(request);
  try {
    const handle = await folder.getFileHandle(partName(request.sha256), { create: true });
    const file = await handle.createWritable();
    await file.write(blob);
    await file.close();
    await folder.getFileHandle(doneName(request.sha256), { create: true });
  } catch (error) {
    request.onNote?.(isStorageFull(error) ? 'storage-full' : 'no-storage');
  }
  return blob;
}

/** Appends what is missing and checks the whole. */
async function fill(file: SyncFile, request: Download): Promise<void> {
  const hash = sha256.create();
  let at = 0;
  const kept = file.getSize();
  const piece = new Uint8Array(PIECE);
  for (let read = file.read(piece, { at }); read > 0 && at < kept; read = file.read(piece, { at })) {
    hash.update(piece.subarray(0, read));
    at += read;
  }
  const response = await ask(request.url, at);
  if (at > 0 && response.status !== 206) {
    // the server does not take up downloads
    file.truncate(0);
    at = 0;
    hash.destroy();
    return fill(file, request);
  }
  await receive(response, request, at, (chunk) => {
    hash.update(chunk);
    let written = 0;
    while (written < chunk.length) written += writeSome(file, chunk.subarray(written), at + written);
    at += chunk.length;
  });
  file.flush();
  if (bytesToHex(hash.digest()) === request.sha256) return;
  file.truncate(0);
  throw damaged(request.url, 'the file is damaged: its hash is another than the manifest says');
}

/** Some browsers write less than they are given when the storage is full, others throw. */
function writeSome(file: SyncFile, chunk: Uint8Array, at: number): number {
  const written = file.write(chunk, { at });
  if (written === 0) throw new DOMException('the storage is full', 'QuotaExceededError');
  return written;
}

async function inMemory(request: Download): Promise<Blob> {
  const hash = sha256.create();
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  await receive(await ask(request.url, 0), request, 0, (chunk) => {
    hash.update(chunk);
    chunks.push(chunk);
  });
  if (bytesToHex(hash.digest()) !== request.sha256)
    throw damaged(request.url, 'the file is damaged: its hash is another than the manifest says');
  return new Blob(chunks);
}

async function ask(url: string, from: number): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, from > 0 ? { headers: { range: `bytes=${from}-` } } : {});
  } catch (cause) {
    throw new FileError(
      'the server does not answer',
      url,
      'check that ort-serve runs, then try again: the download goes on where it broke off',
      { cause },
    );
  }
  if (response.status === 416) return new Response(new Uint8Array(0), { status: 206 }); // nothing is missing
  if (!response.ok)
    throw new FileError(
      `the server answers ${response.status}`,
      url,
      'check the address and that the run is whole',
    );
  return response;
}

async function receive(
  response: Response,
  { url, onProgress = () => {} }: Download,
  from: number,
  take: (chunk: Uint8Array<ArrayBuffer>) => void,
): Promise<void> {
  const length = Number(response.headers.get('content-length') ?? 0);
  let at = from;
  const reader = response.body!.getReader();
  for (;;) {
    let result: ReadableStreamReadResult<Uint8Array<ArrayBuffer>>;
    try {
      result = await reader.read();
    } catch (cause) {
      throw new FileError('the download broke off', url, 'try again: it goes on where it broke off', {
        cause,
      });
    }
    if (result.done) break;
    take(result.value);
    at += result.value.length;
    onProgress(at, from + length);
  }
  if (length > 0 && at !== from + length)
    throw new FileError(`the file is cut short: ${at} of ${from + length} bytes`, url, 'try again');
}
