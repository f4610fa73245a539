/** @file Instruction data as the authors of MILE publish them and `ort-data instruct` writes them. */
import { questionOf } from '../instruct/templates.js';
import { isYesNo } from '../scoring/normalise-answer.js';
import { Collector } from './collect.js';
import { type DataFormat, inSource, nameOf, startOf } from './format.js';
import { readRows } from './rows.js';

export const instruction: DataFormat = {
  name: 'instruction',
  describe:
    'instruction data: a .json of {img_name, qid, answer, question_pool} (ort-data instruct writes one)',
  detect: (source) =>
    source.file !== undefined &&
    /\.jsonl?$/.test(source.file) &&
    startOf(inSource(source, source.file)).includes('"question_pool"'),
  async read(source, context) {
    const file = inSource(source, source.file!);
    const folders = ['images', 'imgs', '.'].map((name) => inSource(source, name));
    const collector = new Collector({
      name: nameOf(source),
      licence: 'not stated',
      context,
      imageRoots: context.imageRoot ? [context.imageRoot] : folders,
    });
    await readRows(file, {
      begin: (_, unit) => collector.begin(file, unit),
      row: (at, { img_name: imageId, qid, answer, question_pool: forms }) => {
        const first = Array.isArray(forms) && typeof forms[0] === 'string' ? questionOf(forms[0]) : '';
        const answerType = typeof answer === 'string' && isYesNo(answer) ? 'closed' : 'open';
        // all of it is for training: tests are on the original questions
        collector.add(at, {
          qid,
          imageId,
          question: first,
          answer,
          answerType,
          set: 'train',
          wordings: forms,
        });
      },
      bad: (at, reason) => collector.reject(at, reason),
    });
    collector.notes.push('instruction data: one of the forms of a question is drawn at each visit');
    return collector.finish(source.path);
  },
};
