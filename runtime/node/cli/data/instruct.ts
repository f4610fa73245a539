/** @file `ort-data instruct`: training questions in instruction format. */
import type { Argv } from 'yargs';
import { UserError } from '../../../../graph-builder/errors.js';
import { checkCount, defineCommand, formatCount, formatTable, subcommand } from '../main.js';
import { dataOptions, openData, splitOption } from './opened.js';

const options = (y: Argv) =>
  dataOptions(y)
    .option('split', splitOption)
    .option('out', { type: 'string', demandOption: true, describe: 'file to write, .json' })
    .option('per-question', {
      type: 'number',
      describe: 'forms of a question; default: one of each template, 6 for yes/no and 5 for the others',
    })
    .option('options', {
      type: 'number',
      default: 4,
      describe: 'choices of a question that is not of yes or no, the right one included, 2 to 26',
    })
    .option('seed', { type: 'number', default: 0, describe: 'draws wrong answers and their order' })
    .option('overwrite', { type: 'boolean', default: false, describe: 'replace the file' })
    .example('$0 instruct vqa-rad --out instruct.json', 'the training questions that ship')
    .example(
      '$0 instruct Slake1.0 --options 5 --out slake-instruct.json',
      'then: ort-train --data slake-instruct.json --image-root Slake1.0/imgs',
    );

/** The folder that the image names are below. */
const rootOf = (path: string, imageId: string): string => path.slice(0, -imageId.length - 1);

/** `ort-data instruct`. */
export const instruct = subcommand(
  'instruct <data>',
  defineCommand({
    describe:
      'Write the training questions in instruction format: templates, with right and wrong answers to choose',
    options,
    handler: async (flags) => {
      const { existsSync } = await import('node:fs');
      const { instruct: build } = await import('../../../../datasets/instruct/build.js');
      const { loadTokenizer } = await import('../../../../datasets/load-tokenizer.js');
      const { writeJson } = await import('../../../../training-artifacts/files.js');
      const { out, seed } = flags;
      const perQuestion = checkCount(flags.perQuestion, '--per-question');
      const choices = checkCount(flags.options, '--options', 2);
      if (choices > 26) throw new UserError(`${choices} options`, '--options', 'letters end at 26');
      if (existsSync(out) && !flags.overwrite)
        throw new UserError('the file exists already', out, 'give another --out, or --overwrite');
      const { dataset, parts, split, notes } = await openData(flags);
      // wrong answers of test questions would tell what they ask
      const { rows, attributes, yesNo, filled } = build(parts.train, {
        options: choices,
        seed,
        ...(perQuestion && { perQuestion }),
      });
      if (rows.length === 0)
        throw new UserError('the split has no training question', '--split', 'choose another');
      writeJson(out, rows);
      const tokenizer = loadTokenizer();
      const lengths = rows.flatMap((row) =>
        row.question_pool.map((form) => tokenizer.encodeQuestion(form, Number.MAX_SAFE_INTEGER).ids.length),
      );
      const longest = lengths.reduce((a, b) => Math.max(a, b), 0);
      const kinds = { 'yes/no': yesNo, ...Object.fromEntries(attributes) };
      if (flags.json)
        return console.log(
          JSON.stringify({
            out,
            split: split ?? null,
            questions: rows.length,
            forms: lengths.length,
            kinds,
            filled,
            longest,
            notes,
          }),
        );
      const table = Object.entries(kinds).sort(([, a], [, b]) => b - a);
      console.log(
        formatTable([['asked for', 'questions'], ...table.map(([kind, n]) => [kind, formatCount(n)])]),
      );
      for (const note of notes) console.log(`  ${note}`);
      if (filled > 0)
        console.log(
          `${filled} questions have options of other kinds: too few different answers of their own`,
        );
      const root = rootOf(dataset.imagePath(rows[0]!.img_name), rows[0]!.img_name);
      const { train } = parts;
      console.log(
        `${out}: ${formatCount(rows.length)} of ${formatCount(dataset.questions.length)} questions (${split ?? 'all'}, training part: ${formatCount(train.length)}), ${formatCount(lengths.length)} forms, the longest of ${longest} word pieces`,
      );
      console.log(
        `next: ort-train --variant lora-r8 --max-question-tokens ${Math.max(128, longest)} --data ${out} --image-root ${root}`,
      );
    },
  }),
);
