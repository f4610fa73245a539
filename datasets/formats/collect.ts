/** @file From rows to a data set: every row is checked, and none is dropped without being told. */
import { basename, isAbsolute, relative } from 'node:path';
import { FileError } from '../../graph-builder/errors.js';
import {
  type BadRow,
  type Dataset,
  type PlaceUnit,
  placeOf,
  type Question,
  questionSchema,
} from '../dataset.js';
import type { ReadContext } from './format.js';
import { chooseImageFolder, type ImageFolder } from './image-folder.js';

/** A row as its format understands it; what is not of the schema is reported by it. */
export type Candidate = { readonly [K in keyof Question]?: unknown };

/** How many bad rows an error names; past them reading goes on only to count. */
const NAMED = 10;

/** Text of its own: a part of a large text keeps all of it in memory. */
const detached = (text: string): string => (text.length < 13 ? text : Buffer.from(text).toString());

/** Strings with each run of blanks as one, none at the ends. Other values stay for the schema to refuse. */
function tidy(value: unknown): unknown {
  if (typeof value === 'number' && Number.isFinite(value)) return String(value);
  if (typeof value !== 'string') return value ?? undefined;
  return detached(value.replace(/\s+/g, ' ').trim());
}

/** Few different values: each is kept once. */
const repeated = new Set<keyof Question>(['imageId', 'organ', 'modality', 'questionType', 'patient', 'set']);

/** What a schema says about a row, in one line. */
export function reasonOf(error: { issues: { path: PropertyKey[]; message: string }[] }): string {
  return error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
}

export interface CollectOptions {
  readonly name: string;
  readonly licence: string;
  readonly context: ReadContext;
  /** folders that may hold the images, the likeliest first */
  readonly imageRoots: readonly string[];
}

/** Takes rows in order, then gives the data set. */
export class Collector {
  readonly notes: string[] = [];
  private readonly questions: Question[] = [];
  /** place of each question in its file */
  private readonly places: number[] = [];
  /** files, and the question that each starts with */
  private readonly files: { readonly file: string; readonly unit: PlaceUnit; readonly first: number }[] = [];
  private readonly qids = new Set<string>();
  private readonly kept = new Map<string, string>();
  private readonly bad: BadRow[] = [];
  private readonly flaws: BadRow[] = [];
  private badCount = 0;

  constructor(private readonly options: CollectOptions) {}

  /** The rows that come now are of this file. */
  begin(file: string, unit: PlaceUnit): void {
    this.files.push({ file, unit, first: this.questions.length });
  }

  /** A row that cannot be used. */
  reject(at: number, reason: string, { file, unit } = this.files.at(-1)!): void {
    this.badCount += 1;
    if (this.options.context.skipBad || this.bad.length < NAMED) this.bad.push({ file, unit, at, reason });
  }

  /** A row that the published set is known to have, and that cannot be used. */
  leaveOut(at: number, reason: string): void {
    const { file, unit } = this.files.at(-1)!;
    this.flaws.push({ file, unit, at, reason });
  }

  add(at: number, candidate: Candidate): void {
    const row = Object.fromEntries(
      Object.entries(candidate)
        .map(([key, value]) => [key, this.clean(key as keyof Question, value)])
        .filter(([key, value]) => value !== undefined && (value !== '' || isRequired(key as string))),
    );
    const parsed = questionSchema.safeParse(row);
    if (!parsed.success) {
      this.reject(at, reasonOf(parsed.error));
      return;
    }
    const { qid } = parsed.data;
    if (this.qids.has(qid)) {
      this.reject(at, `qid ${qid} stands in an earlier row, too`);
      return;
    }
    this.qids.add(qid);
    this.questions.push(parsed.data);
    this.places.push(at);
  }

  /** @throws {FileError} when rows are bad and are not to be skipped, or none is left. */
  finish(where: string): Dataset {
    const { name, licence, context, imageRoots } = this.options;
    const ids = new Set(this.questions.map((q) => q.imageId));
    const images = chooseImageFolder(imageRoots, ids);
    const missing = context.textOnly ? new Set<string>() : new Set([...ids].filter((id) => !images.has(id)));
    const questions = missing.size > 0 ? this.withImages(missing, images) : this.questions;
    if (this.badCount > 0 && !context.skipBad) throw this.badRowsError(where, missing, images, ids.size);
    if (questions.length === 0)
      throw new FileError('no row is left', where, 'give a table that has questions');
    const skipped = [...this.flaws, ...this.bad];
    const note =
      skipped.length > 0
        ? [
            `rows left out because they cannot be used: ${skipped.length}`,
            ...skipped.slice(0, NAMED).map((row) => `  ${placeOf(row)}: ${row.reason}`),
            ...(skipped.length > NAMED ? [`  and ${skipped.length - NAMED} more`] : []),
          ]
        : [];
    return {
      name,
      licence,
      questions,
      notes: [...this.notes, ...(context.textOnly ? [] : [`images in ${basename(images.root)}/`]), ...note],
      skipped,
      imagePath: (imageId) => images.path(imageId),
    };
  }

  private clean(key: keyof Question, value: unknown): unknown {
    if (Array.isArray(value)) return value.map(tidy);
    const text = tidy(value);
    if (typeof text !== 'string' || !repeated.has(key)) return text;
    const shown = key === 'imageId' ? this.imageIdOf(text) : text;
    const same = this.kept.get(shown);
    if (same !== undefined) return same;
    this.kept.set(shown, shown);
    return shown;
  }

  /** As the schema has it: below the image folder, with / between folders. */
  private imageIdOf(text: string): string {
    const { imageRoot } = this.options.context;
    const below = imageRoot !== null && isAbsolute(text) ? relative(imageRoot, text) : text;
    return below.replaceAll('\\', '/').replace(/^(\.\/)+/, '');
  }

  private withImages(missing: ReadonlySet<string>, { root }: ImageFolder): Question[] {
    return this.questions.filter(({ imageId }, i) => {
      if (!missing.has(imageId)) return true;
      const file = this.files.findLast(({ first }) => first <= i)!;
      this.reject(this.places[i]!, `image ${imageId} is not in ${root}`, file);
      return false;
    });
  }

  private badRowsError(
    where: string,
    missing: ReadonlySet<string>,
    { root }: ImageFolder,
    images: number,
  ): FileError {
    if (missing.size > 0) {
      const examples = [...missing].slice(0, 3).join(', ');
      return new FileError(
        `${missing.size} of ${images} images are missing, e.g. ${examples}`,
        root,
        'name their folder with --image-root, or leave their rows out with --skip-bad',
      );
    }
    const rows = this.bad.map((row) => `\n  ${placeOf(row)}: ${row.reason}`);
    const more = this.badCount > rows.length ? `\n  and ${this.badCount - rows.length} more` : '';
    return new FileError(
      `${this.badCount} ${this.badCount === 1 ? 'row' : 'rows'} cannot be used:${rows.join('')}${more}`,
      this.badCount === 1 ? placeOf(this.bad[0]!) : where,
      'correct them, or leave them out with --skip-bad',
    );
  }
}

const required = new Set(['qid', 'imageId', 'question', 'answer']);
const isRequired = (key: string) => required.has(key);
