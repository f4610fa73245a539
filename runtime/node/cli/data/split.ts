/** @file `ort-data split`: a split whose parts share nothing, as a file. */
import type { Argv } from 'yargs';
import { splitKeys } from '../../../../datasets/check/draw-parts.js';
import { UserError } from '../../../../graph-builder/errors.js';
import { defineCommand, formatCount, formatTable, subcommand } from '../main.js';
import { progressBar } from '../progress-bar.js';
import { dataOptions, type Opened, openData } from './opened.js';

const options = (y: Argv) =>
  dataOptions(y)
    .option('by', {
      choices: splitKeys,
      default: 'image' as const,
      describe: 'what no two parts share: images, patients (with all their images), or wordings of questions',
    })
    .option('test', { type: 'number', default: 0.2, describe: 'share of the questions' })
    .option('validation', { type: 'number', default: 0.1, describe: 'share of the questions' })
    .option('seed', { type: 'number', default: 0, describe: 'which are drawn' })
    .option('near-duplicates', {
      type: 'boolean',
      default: true,
      describe: 'keep images together that look the same; --no-near-duplicates: equal names only',
    })
    .option('out', { type: 'string', default: 'split.json', describe: 'file to write' })
    .option('overwrite', { type: 'boolean', default: false, describe: 'replace the file' })
    .example('$0 split table.csv --by patient --patient-col subject', 'no patient in two parts')
    .example('$0 split vqa-rad --seed 1 --out seed1.json', 'then: ort-train --split seed1.json');

function checkShares(test: number, validation: number): void {
  const isShare = (n: number) => n >= 0 && n < 1;
  if (!isShare(test) || !isShare(validation) || test + validation >= 1)
    throw new UserError(
      `shares of ${test} and ${validation} leave nothing to train on`,
      '--test, --validation',
      'give fractions from 0 whose sum is below 1, e.g. 0.2 and 0.1',
    );
}

/** @throws {UserError} when the rows do not say whose they are. */
function checkPatients({ dataset: { questions } }: Opened): void {
  const without = questions.filter((q) => q.patient === undefined).length;
  if (without > 0)
    throw new UserError(
      `${without} of ${questions.length} rows name no patient`,
      '--by patient',
      'name the column of a pseudonym with --patient-col, and fill it in every row',
    );
}

/** Images that show the same, and how many bits of their hashes may differ. */
async function findCopies({ dataset, imageIds }: Opened): Promise<readonly (readonly string[])[]> {
  const { readImageFacts } = await import('../../image-facts.js');
  const { byteCopies, pictureCopies } = await import('../../../../datasets/check/image-facts.js');
  const bar = progressBar('reading images');
  const facts = await readImageFacts(dataset, imageIds, bar.update);
  bar.stop();
  return [...byteCopies(facts), ...pictureCopies(facts)];
}

/** `ort-data split`. */
export const split = subcommand(
  'split <data>',
  defineCommand({
    describe: 'Draw a split whose parts share no image, patient or question, and write it with hashes',
    options,
    handler: async (flags) => {
      const { existsSync } = await import('node:fs');
      const { drawParts } = await import('../../../../datasets/check/draw-parts.js');
      const { NEAR_BITS } = await import('../../../../datasets/images/perceptual-hash.js');
      const { rowsHash, splitHash } = await import('../../../../datasets/split-file.js');
      const { writeJson } = await import('../../../../training-artifacts/files.js');
      const { by, seed, test, validation, out, textOnly } = flags;
      checkShares(test, validation);
      if (existsSync(out) && !flags.overwrite)
        throw new UserError('the file exists already', out, 'give another --out, or --overwrite');
      const opened = await openData({ ...flags, split: undefined });
      const rows = opened.dataset.questions.filter((q) => q.phraseType !== 'frame');
      if (by === 'patient') checkPatients(opened);
      const looks = flags.nearDuplicates && by !== 'question' && !textOnly;
      const copies = looks ? await findCopies(opened) : [];
      const lists = drawParts(rows, { by, seed, test, validation, copies });
      const sha256 = splitHash(lists);
      writeJson(out, {
        name: by,
        seed,
        ...lists,
        sha256,
        drawn: {
          dataset: opened.dataset.name,
          by,
          testShare: test,
          validationShare: validation,
          nearDuplicateBits: looks ? NEAR_BITS : null,
          rowsSha256: rowsHash(opened.dataset.questions),
        },
      });
      const counts = {
        train: lists.train.length,
        validation: lists.validation.length,
        test: lists.test.length,
      };
      if (flags.json) return console.log(JSON.stringify({ out, by, seed, sha256, ...counts }));
      console.log(
        formatTable([
          ['part', 'questions'],
          ...Object.entries(counts).map(([name, n]) => [name, formatCount(n)]),
        ]),
      );
      if (looks) console.log(`${copies.length} groups of copies were kept together`);
      console.log(`${out}, sha256 ${sha256}\nnext: ort-train --data ${flags.data} --split ${out}`);
    },
  }),
);
