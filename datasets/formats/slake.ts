/**
 * @file SLAKE as published (Liu et al., ISBI 2021), and the lists of the published MISS and MILE code, whose rows have
 * the same fields: slake_train.json, slake_test.json, also with the ending .jsol.
 */
import { FileError } from '../../graph-builder/errors.js';
import type { SetName } from '../dataset.js';
import { type Candidate, Collector } from './collect.js';
import { type DataFormat, inSource, nameOf, type Source, startOf } from './format.js';
import { readRows, type Values } from './rows.js';
import { setOfName } from './sets.js';

const LANGUAGES = ['en', 'zh'];

/** The published lists in a folder, or the one that was given. */
const listsOf = ({ file, entries }: Source): string[] =>
  (file === undefined ? entries : [file]).filter(
    (name) => /\.(json|jsonl|jsol)$/.test(name) && setOfName(name) !== undefined,
  );

/** Its fields, or its images' names: instruction data have the latter, too. */
function looksPublished(file: string): boolean {
  const start = startOf(file);
  return /"q_lang"|"xmlab\d+\//.test(start) && !start.includes('"question_pool"');
}

const typeOf = (value: unknown) => (typeof value === 'string' ? value.trim().toLowerCase() : value);

const toCandidate = (row: Values, set: SetName | undefined): Candidate => ({
  qid: row.qid,
  imageId: row.img_name,
  question: row.question,
  answer: row.answer,
  answerType: typeOf(row.answer_type),
  questionType: row.content_type,
  organ: row.location,
  modality: row.modality,
  set,
});

export const slake: DataFormat = {
  name: 'slake',
  describe: 'SLAKE as published: train.json, validate.json, test.json and imgs/xmlab*/source.jpg',
  detect: (source) => {
    const [first] = listsOf(source);
    return first !== undefined && looksPublished(inSource(source, first));
  },
  async read(source, context) {
    const language = context.language ?? 'en';
    if (!LANGUAGES.includes(language))
      throw new FileError(
        `no questions in '${language}'`,
        '--language',
        `choose from ${LANGUAGES.join(', ')}`,
      );
    const collector = new Collector({
      name: nameOf(source),
      licence: 'CC-BY-4.0',
      context,
      imageRoots: context.imageRoot ? [context.imageRoot] : [inSource(source, 'imgs'), source.folder],
    });
    let others = 0;
    for (const list of listsOf(source)) {
      const file = inSource(source, list);
      await readRows(file, {
        begin: (_, unit) => collector.begin(file, unit),
        row: (at, values) => {
          // the splits share images across languages: they must not be mixed
          if (values.q_lang !== undefined && values.q_lang !== language) others += 1;
          else if (values.answer === '')
            collector.leaveOut(at, `qid ${values.qid} is published without answer`);
          else collector.add(at, toCandidate(values, setOfName(list)));
        },
        bad: (at, reason) => collector.reject(at, reason),
      });
    }
    collector.notes.push(`SLAKE, questions in ${language}; ${others} in other languages are left out`);
    return collector.finish(source.path);
  },
};
