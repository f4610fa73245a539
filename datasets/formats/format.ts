/** @file What a format of data sets is: how it is recognised and read. One file a format, listed in `formats.ts`. */
import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import type { Dataset } from '../dataset.js';

const column = z.string().min(1).nullable();

/** How a data set is to be read. Null: not given, found out. Options of the same names on the command line. */
export const readOptionsShape = {
  imageCol: column,
  questionCol: column,
  answerCol: column,
  splitCol: column,
  qidCol: column,
  answerTypeCol: column,
  questionTypeCol: column,
  organCol: column,
  modalityCol: column,
  patientCol: column,
  /** folder that the image names are below */
  imageRoot: z.string().min(1).nullable(),
  /** which rows of a set in several languages: en, zh */
  language: z.string().min(1).nullable(),
  /** leaves rows out that cannot be used, and lists them; else they are an error */
  skipBad: z.boolean(),
};
export const readOptionsSchema = z.strictObject(readOptionsShape);
export type ReadOptions = z.infer<typeof readOptionsSchema>;

export const readDefaults: ReadOptions = {
  imageCol: null,
  questionCol: null,
  answerCol: null,
  splitCol: null,
  qidCol: null,
  answerTypeCol: null,
  questionTypeCol: null,
  organCol: null,
  modalityCol: null,
  patientCol: null,
  imageRoot: null,
  language: null,
  skipBad: false,
};

/** What a format may know of how its reading is used. */
export interface ReadContext extends ReadOptions {
  /** rows alone: images are not looked for */
  readonly textOnly: boolean;
}

/** A file or a folder that is to be a data set. */
export interface Source {
  /** as given */
  readonly path: string;
  /** the folder, or the one of the file */
  readonly folder: string;
  /** name of the file; undefined for a folder */
  readonly file: string | undefined;
  /** names in `folder`, sorted */
  readonly entries: readonly string[];
}

/** @throws an error of the file system. */
export function openSource(path: string): Source {
  const isFolder = statSync(path).isDirectory();
  const folder = isFolder ? path : dirname(path);
  return {
    path,
    folder,
    file: isFolder ? undefined : basename(path),
    entries: readdirSync(folder).sort(),
  };
}

/** The name of a data set: that of its folder or file, without the folders above. */
export const nameOf = ({ path }: Source): string => basename(resolve(path));

/** The first characters of a file, enough to tell what it is. */
export function startOf(file: string): string {
  const bytes = Buffer.alloc(4096);
  const fd = openSync(file, 'r');
  try {
    return bytes.toString('utf8', 0, readSync(fd, bytes));
  } finally {
    closeSync(fd);
  }
}

export const inSource = (source: Source, name: string): string => join(source.folder, name);

export interface DataFormat {
  readonly name: string;
  /** One line for `--help` and errors. */
  readonly describe: string;
  /** Looks at names, at most at the first bytes of a file. */
  detect(source: Source): boolean;
  /** @throws {FileError} when a file, a column, a row or an image is not as it must be. */
  read(source: Source, context: ReadContext): Promise<Dataset>;
}
