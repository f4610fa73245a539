/** @file `ort-data check`: what may spoil a score, or should not leave the house. */
import type { Argv } from 'yargs';
import type { Finding } from '../../../../datasets/check/findings.js';
import type { Question } from '../../../../datasets/dataset.js';
import { defineCommand, formatCount, subcommand } from '../main.js';
import { progressBar } from '../progress-bar.js';
import { dataOptions, limitOptions, limitsOf, openData, splitOption } from './opened.js';

const options = (y: Argv) =>
  dataOptions(y)
    .option('split', splitOption)
    .options(limitOptions)
    .option('strict', {
      type: 'boolean',
      default: false,
      describe: 'exit code 1 when there is a finding: for scripts',
    })
    .example('$0 check vqa-rad', 'finds the images that its test shares with its training')
    .example('$0 check vqa-rad --split image', 'none are shared here')
    .example('$0 check table.csv --split split.json --strict', 'a split of your own, in a script');

const SHOWN = 5;

const linesOf = ({ name, count, says, examples }: Finding): string[] => [
  `- ${name}: ${formatCount(count)}`,
  `    ${says}`,
  ...examples.slice(0, SHOWN).map((example) => `      ${example}`),
  ...(examples.length > SHOWN ? ['      ... (all of them: --json)'] : []),
];

/** What cannot be told of these rows. */
const unchecked = (questions: readonly Question[]): string[] =>
  questions.some((q) => q.patient !== undefined)
    ? []
    : ['no column tells the patients: whether one is in several parts is not checked (--patient-col)'];

/** `ort-data check`. */
export const check = subcommand(
  'check <data>',
  defineCommand({
    describe: 'Duplicates, contradictions, leakage between parts, and names that may identify patients',
    options,
    handler: async (flags) => {
      const find = await import('../../../../datasets/check/findings.js');
      const { textFacts } = await import('../../../../datasets/check/summary.js');
      const { loadTokenizer } = await import('../../../../datasets/load-tokenizer.js');
      const { readImageFacts } = await import('../../image-facts.js');
      const limits = limitsOf(flags);
      const { dataset, parts, split, notes, imageIds } = await openData(flags);
      const { questions } = dataset;
      const bar = progressBar('reading images');
      const facts = flags.textOnly ? undefined : await readImageFacts(dataset, imageIds, bar.update);
      bar.stop();
      const findings = [
        ...find.leftOut(dataset.skipped),
        ...(split === undefined ? [] : find.emptyParts(parts)),
        ...find.leakage(parts),
        ...(facts ? find.imageCopies(parts, facts) : []),
        ...find.duplicates(parts),
        ...find.contradictions(parts),
        ...find.texts(textFacts(questions, loadTokenizer(), limits), limits),
        ...find.balance(parts),
        ...find.identifiers(questions),
        ...(facts ? find.textInPixels(facts) : []),
      ];
      if (flags.strict && findings.length > 0) process.exitCode = 1;
      if (flags.json)
        return console.log(
          JSON.stringify({
            name: dataset.name,
            split: split ?? null,
            notes: [...notes, ...unchecked(questions)],
            findings,
          }),
        );
      const images = flags.textOnly ? 'images not looked at' : `${formatCount(imageIds.length)} images`;
      console.log(
        `${dataset.name}${split ? `, ${split} split` : ''}: ${formatCount(questions.length)} questions, ${images}`,
      );
      for (const note of [...notes, ...unchecked(questions)]) console.log(`  ${note}`);
      console.log(
        findings.length > 0 ? `\n${findings.flatMap(linesOf).join('\n')}` : '\nnothing to object to',
      );
    },
  }),
);
