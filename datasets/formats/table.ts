/** @file Any table: one file, or a folder with one table or one a split. */
import { extname } from 'node:path';
import { FileError, UserError } from '../../graph-builder/errors.js';
import type { SetName } from '../dataset.js';
import { isYesNo } from '../scoring/normalise-answer.js';
import { type Candidate, Collector } from './collect.js';
import { type Columns, columnsInWords, findColumns } from './columns.js';
import { type DataFormat, inSource, nameOf, type ReadContext, type Source, startOf } from './format.js';
import { isTable, readRows, tableEndings, type Values } from './rows.js';
import { setOfName, setWords } from './sets.js';
import { SETTINGS } from './settings.js';

/** A large table in several files, as Hugging Face names them. */
const SHARD = /-\d{5}-of-\d{5}/;

const imageFolders = ['images', 'imgs', 'image', 'img', 'figures', 'Images'];

/** A file that `ort-data split` wrote often lies beside its table. */
const isSplitFile = (file: string): boolean =>
  extname(file) === '.json' && /^\s*\{\s*"name"\s*:\s*"[^"]*",\s*"seed"\s*:/.test(startOf(file));

/** The tables of a folder. @throws {FileError} when there is none, or several that no name tells apart. */
export function tablesOf(source: Source): string[] {
  if (source.file !== undefined) return [source.file];
  const tables = source.entries.filter(
    (name) => isTable(name) && name !== SETTINGS && !isSplitFile(inSource(source, name)),
  );
  if (tables.length === 0) {
    const remedy = `give a table (${tableEndings.join(', ')}), or a folder with one`;
    throw new FileError('the folder holds no table', source.path, remedy);
  }
  const sets = tables.map(setOfName);
  const names = new Set(tables.map((name) => name.replace(SHARD, '')));
  const apart = sets.every((set) => set !== undefined) && new Set(sets).size === names.size;
  if (tables.length > 1 && !apart) {
    const what = `the folder holds ${tables.length} tables: ${tables.slice(0, 5).join(', ')}`;
    throw new FileError(what, source.path, 'give one of them, or keep one a split: train, validation, test');
  }
  return tables;
}

const word = (value: unknown) => (typeof value === 'string' ? value.trim().toLowerCase() : undefined);

/** As told; else a yes/no answer makes a closed question. */
function answerTypeOf(told: unknown, answer: unknown): unknown {
  const type = word(told);
  if (type === undefined || type === '')
    return typeof answer === 'string' && isYesNo(answer) ? 'closed' : 'open';
  return type === 'yes/no' || type === 'close' ? 'closed' : type;
}

/** PMC-VQA's second form answers by a letter: the choice of that letter, without its mark. */
function chosen(values: Values, answer: unknown): unknown {
  const letter = typeof answer === 'string' ? /^\s*([A-D])\s*$/.exec(answer)?.[1] : undefined;
  const choice = letter && (values[`Choice ${letter}`] ?? values[`choice ${letter.toLowerCase()}`]);
  return typeof choice === 'string' ? choice.replace(/^\s*[A-D]\s*[:.)]\s*/, '') : answer;
}

/** The column that `--language` chooses by. @throws {UserError} when there is none. */
function languageColumn(present: readonly string[], { language }: ReadContext): string | undefined {
  if (language === null) return undefined;
  const column = present.find((name) => /^(q_)?lang(uage)?$/i.test(name));
  if (column !== undefined) return column;
  const remedy = `leave it out, or name a column q_lang or language: ${present.join(', ')}`;
  throw new UserError('no column says the language', '--language', remedy);
}

class TableReader {
  private columns!: Columns;
  private rows = 0;
  private others = 0;
  /** of the column that rows are chosen by */
  private language: string | undefined;
  private readonly named: SetName | undefined;
  private readonly stem: string;

  constructor(
    private readonly file: string,
    name: string,
    private readonly context: ReadContext,
    private readonly collector: Collector,
  ) {
    this.named = setOfName(name);
    this.stem = name.slice(0, -extname(name).length);
  }

  async read(): Promise<void> {
    const { file, context, collector } = this;
    await readRows(file, {
      begin: (present, unit) => {
        collector.begin(file, unit);
        this.language = languageColumn(present, context);
        this.columns = findColumns(present, context, file);
        const note = `columns: ${columnsInWords(this.columns)}`;
        if (!collector.notes.includes(note)) collector.notes.push(note);
      },
      row: (at, values) => {
        if (this.language !== undefined && word(values[this.language]) !== context.language) {
          this.others += 1;
          return;
        }
        const candidate = this.candidate(values);
        if (typeof candidate === 'string') collector.reject(at, candidate);
        else collector.add(at, candidate);
      },
      bad: (at, reason) => collector.reject(at, reason),
    });
    if (this.others > 0)
      collector.notes.push(`${this.others} rows in other languages than ${context.language} are left out`);
  }

  /** The row, or why it is none. */
  private candidate(values: Values): Candidate | string {
    const { columns } = this;
    this.rows += 1;
    const of = (role: keyof Columns) => {
      const column = columns[role];
      return column === undefined ? undefined : values[column];
    };
    const set = columns.split === undefined ? this.named : setWords[word(of('split')) ?? ''];
    if (columns.split !== undefined && set === undefined)
      return `split: '${String(of('split') ?? '')}' is none of train, validation, test`;
    const answer = chosen(values, of('answer'));
    return {
      qid: of('qid') ?? `${this.stem}:${this.rows}`,
      imageId: of('image'),
      question: of('question'),
      answer,
      answerType: answerTypeOf(of('answerType'), answer),
      questionType: of('questionType'),
      organ: of('organ'),
      modality: of('modality'),
      patient: of('patient'),
      set,
    };
  }
}

export const table: DataFormat = {
  name: 'table',
  describe: `a table (${tableEndings.join(', ')}), or a folder with one and its images`,
  detect: () => true,
  async read(source, context) {
    const here = [source.folder, ...imageFolders.map((name) => inSource(source, name))];
    const collector = new Collector({
      name: nameOf(source),
      licence: 'not stated',
      context,
      imageRoots: context.imageRoot ? [context.imageRoot] : here,
    });
    for (const name of tablesOf(source))
      await new TableReader(inSource(source, name), name, context, collector).read();
    return collector.finish(source.path);
  },
};
