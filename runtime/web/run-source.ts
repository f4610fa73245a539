/** @file Where a run's files come from: a web server, or files that the user chose. */
import { FileError } from '../../graph-builder/errors.js';
import { type DownloadNote, download } from './download.js';

export interface LargeFileOptions {
  readonly sha256: string;
  readonly onProgress?: ((bytes: number, total: number) => void) | undefined;
  readonly onNote?: ((note: DownloadNote) => void) | undefined;
}

/** A run folder, or a folder of an adapter. Names are paths inside it. */
export interface RunSource {
  /** for messages */
  readonly name: string;
  /** Whole content of a small file; undefined when it is not there. */
  find(file: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** A file of any size, checked against its hash. */
  large(file: string, options: LargeFileOptions): Promise<Blob>;
}

/** @throws {FileError} when it is not there. */
export async function readBytes(source: RunSource, file: string): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await source.find(file);
  if (bytes) return bytes;
  throw new FileError('file not found', `${source.name}/${file}`, 'check that this is a whole run folder');
}

/** @throws {FileError} when it is not there or not JSON. */
export async function readJson(source: RunSource, file: string): Promise<unknown> {
  const bytes = await readBytes(source, file);
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new FileError('not JSON', `${source.name}/${file}`, 'the file is damaged: copy it again', {
      cause,
    });
  }
}

/** A folder of a web server. `url` may be relative to the page. */
export function httpSource(url: string | URL): RunSource {
  const base = new URL(`${String(url).replace(/\/+$/, '')}/`, globalThis.location?.href);
  const urlOf = (file: string) => new URL(file.split('/').map(encodeURIComponent).join('/'), base).href;
  return {
    name: base.href.replace(/\/$/, ''),
    async find(file) {
      let response: Response;
      try {
        response = await fetch(urlOf(file));
      } catch (cause) {
        throw new FileError(
          'the server does not answer',
          urlOf(file),
          'check that ort-serve runs, then try again',
          { cause },
        );
      }
      // a file server for single-page programs answers with its page instead of 404
      const isPage = (response.headers.get('content-type') ?? '').startsWith('text/html');
      if (response.status === 404 || (response.ok && isPage)) return undefined;
      if (!response.ok)
        throw new FileError(`the server answers ${response.status}`, urlOf(file), 'check the address');
      return new Uint8Array(await response.arrayBuffer());
    },
    large: (file, options) => download({ url: urlOf(file), ...options }),
  };
}

/** Files that the user chose, e.g. with `<input type="file" webkitdirectory>`; the folder's own name is dropped. */
export function filesSource(files: Iterable<File>): RunSource {
  const list = [...files];
  const pathOf = (file: File) => file.webkitRelativePath.split('/').slice(1).join('/') || file.name;
  const byPath = new Map(list.map((file) => [pathOf(file), file]));
  return {
    name: list[0]?.webkitRelativePath.split('/')[0] || 'chosen files',
    async find(file) {
      const found = byPath.get(file);
      return found && new Uint8Array(await found.arrayBuffer());
    },
    async large(file) {
      const found = byPath.get(file) ?? list.find(({ name }) => name === file.split('/').at(-1));
      if (found) return found;
      throw new FileError(
        'the base weights are not among the chosen files',
        file,
        'choose the weights as well, or build the run with --self-contained',
      );
    },
  };
}
