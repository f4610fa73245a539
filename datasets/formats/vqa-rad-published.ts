/**
 * @file VQA-RAD as published: the authors' public JSON (osf.io/89kps), or the two files that later work split it into,
 * trainset.json and testset.json.
 */
import type { SetName } from '../dataset.js';
import { cleanRow, publishedRowSchema } from '../vqa-rad/clean.js';
import { Collector, reasonOf } from './collect.js';
import { type DataFormat, inSource, nameOf, type Source } from './format.js';
import { readRows, type Values } from './rows.js';

const PUBLIC = /^VQA[_ ]RAD Dataset Public\.json$/i;
const sets: Readonly<Record<string, SetName>> = { 'trainset.json': 'train', 'testset.json': 'test' };

const listsOf = ({ entries }: Source): string[] => {
  const split = entries.filter((name) => name in sets);
  return split.length > 0 ? split : entries.filter((name) => PUBLIC.test(name));
};

/** The public file marks the test rows in their phrase type: test_freeform, test_para. */
function parted(values: Values, list: string): { row: Values; set: SetName } {
  const phrase = String(values.phrase_type);
  const set = sets[list] ?? (phrase.startsWith('test_') ? 'test' : 'train');
  return { row: { ...values, phrase_type: phrase.replace(/^test_/, '') }, set };
}

export const vqaRadPublished: DataFormat = {
  name: 'vqa-rad-published',
  describe:
    'VQA-RAD as published: "VQA_RAD Dataset Public.json", or trainset.json and testset.json, and images',
  detect: (source) => source.file === undefined && listsOf(source).length > 0,
  async read(source, context) {
    const folders = ['images', 'VQA_RAD Image Folder', '.'].map((name) => inSource(source, name));
    const collector = new Collector({
      name: nameOf(source),
      licence: 'CC0-1.0',
      context,
      imageRoots: context.imageRoot ? [context.imageRoot] : folders,
    });
    for (const list of listsOf(source)) {
      const file = inSource(source, list);
      await readRows(file, {
        begin: (_, unit) => collector.begin(file, unit),
        row: (at, values) => {
          const { row, set } = parted(values, list);
          const parsed = publishedRowSchema.safeParse(row);
          if (parsed.success) collector.add(at, cleanRow(parsed.data, set));
          else collector.reject(at, reasonOf(parsed.error));
        },
        bad: (at, reason) => collector.reject(at, reason),
      });
    }
    collector.notes.push('VQA-RAD; blanks, types and spelling of kinds made uniform, no wording changed');
    return collector.finish(source.path);
  },
};
