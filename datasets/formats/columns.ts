/** @file Which column holds what: as told, else by the names that tables usually have. */
import { FileError } from '../../graph-builder/errors.js';
import type { ReadOptions } from './format.js';

/** What a column can hold, and the names it is known by: without case, blanks and punctuation, the likeliest first. */
const usualNames = {
  image: [
    'image', 'imagename', 'imgname', 'imagepath', 'imgpath', 'imagefile', 'imagefilename', 'figurepath', 'img',
    'filename', 'filepath', 'file', 'path', 'imageid', 'imgid', 'picture',
  ],
  question: ['question', 'questiontext', 'query', 'prompt', 'instruction'],
  answer: ['answer', 'anwser', 'answertext', 'groundtruth', 'response', 'label'],
  split: ['split', 'set', 'subset', 'partition'],
  qid: ['qid', 'questionid', 'id', 'uid', 'index'],
  answerType: ['answertype'],
  questionType: ['questiontype', 'contenttype', 'category'],
  organ: ['organ', 'imageorgan', 'bodypart', 'anatomy', 'region', 'location'],
  modality: ['modality', 'imagemodality'],
  patient: ['patient', 'patientid', 'subject', 'subjectid'],
} as const; // biome-ignore format: a name list

export type Role = keyof typeof usualNames;
export type Columns = Readonly<Record<Role, string | undefined>>;

const roles = Object.keys(usualNames) as Role[];
const needed: readonly Role[] = ['image', 'question', 'answer'];

const flagOf = (role: Role) => `--${role.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}-col`;
const squeezed = (name: string) => name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');

/**
 * Finds the columns.
 *
 * @param present names in the file
 * @throws {FileError} when a column that was named is not there, or the image, question or answer is not found.
 */
export function findColumns(present: readonly string[], options: ReadOptions, file: string): Columns {
  const list = present.join(', ');
  const find = (role: Role): string | undefined => {
    const told = options[`${role}Col`];
    if (told !== null) {
      if (present.includes(told)) return told;
      throw new FileError(`no column '${told}'`, file, `choose for ${flagOf(role)} from ${list}`);
    }
    const names: readonly string[] = usualNames[role];
    const found = names
      .map((name) => present.find((column) => squeezed(column) === name))
      .find((c) => c !== undefined);
    if (found === undefined && needed.includes(role))
      throw new FileError(`no column looks like the ${role}`, file, `name it with ${flagOf(role)}: ${list}`);
    return found;
  };
  return Object.fromEntries(roles.map((role) => [role, find(role)])) as Columns;
}

export const columnsInWords = (columns: Columns): string =>
  roles
    .filter((role) => columns[role] !== undefined)
    .map((role) => `${role} = ${columns[role]}`)
    .join(', ');
