/** @file `ort-data inspect`: what a data set holds. */
import type { Argv } from 'yargs';
import type { ImageFacts } from '../../../../datasets/check/image-facts.js';
import { partNames } from '../../../../datasets/check/parts.js';
import type { Summary, TextFacts } from '../../../../datasets/check/summary.js';
import { checkCount, defineCommand, formatCount, formatTable, subcommand } from '../main.js';
import { progressBar } from '../progress-bar.js';
import { dataOptions, limitOptions, limitsOf, type Opened, openData, partOf, splitOption } from './opened.js';

const options = (y: Argv) =>
  dataOptions(y)
    .option('split', splitOption)
    .options(limitOptions)
    .option('contact-sheet', {
      type: 'string',
      describe: 'draw images with their questions into this .html or .png file',
    })
    .option('samples', {
      type: 'number',
      default: 24,
      describe: 'images on the sheet; a few of them are printed',
    })
    .option('seed', { type: 'number', default: 0, describe: 'which samples are drawn' })
    .option('export-images', {
      type: 'string',
      describe: 'write images out of Parquet files into this folder, with a table; nothing else is done',
    })
    .option('save', {
      type: 'boolean',
      default: false,
      describe: 'write the column flags into dataset.json beside the table: later commands need none',
    })
    .example('$0 inspect vqa-rad', 'the data set that ships')
    .example(
      '$0 inspect Slake1.0 --contact-sheet slake.html',
      'SLAKE as published, with a sheet of its images',
    )
    .example('$0 inspect pathvqa/data --export-images pathvqa-files', 'Parquet of Hugging Face into files')
    .example('$0 inspect table.csv --image-col file --answer-col label --save', 'a table of your own');

const percent = (share: number) => (Number.isFinite(share) ? `${(100 * share).toFixed(1)}%` : '-');

function partsTable({ parts }: Summary): string {
  const rows = partNames.map((name) => {
    const p = parts[name];
    return [name, ...[p.questions, p.images, p.patients, p.closed, p.open, p.yes, p.no].map(formatCount)];
  });
  return formatTable([['part', 'questions', 'images', 'patients', 'closed', 'open', 'yes', 'no'], ...rows]);
}

/** The most frequent values of a column. */
const valuesLine = ([column, counts]: [string, readonly [string, number][]]): string => {
  const shown = counts.slice(0, 12).map(([value, n]) => `${value} ${formatCount(n)}`);
  const rest = counts.length > 12 ? `, and ${counts.length - 12} more` : '';
  return `${column}: ${shown.join(', ')}${rest}`;
};

function textLines(facts: TextFacts, limits: { question: number; answer: number }): string[] {
  return [
    `questions: longest ${facts.longestQuestion} tokens; ${formatCount(facts.questionsCut)} are cut at ${limits.question}`,
    `answers: longest ${facts.longestAnswer} tokens; ${formatCount(facts.answersCut)} are cut at ${limits.answer}`,
    `unknown tokens: ${percent(facts.unknownShare)}`,
  ];
}

/** Range and median of the longer sides. */
export function sizesOf({ images, unreadable }: ImageFacts) {
  const sides = [...images.values()]
    .map(({ width, height }) => Math.max(width, height))
    .sort((a, b) => a - b);
  return {
    count: images.size,
    unreadable: unreadable.length,
    shortest: sides[0] ?? 0,
    median: sides[sides.length >> 1] ?? 0,
    longest: sides.at(-1) ?? 0,
  };
}

function majorityLine({ majority }: Summary): string {
  const { on, yesNoAnswer, yesNo, anyAnswer, all } = majority;
  return `without looking: always '${yesNoAnswer}' scores ${percent(yesNo)} of the yes/no questions in ${on}, always '${anyAnswer}' ${percent(all)} of all`;
}

function print(opened: Opened, summary: Summary, lines: readonly string[]): void {
  const { dataset, split, notes } = opened;
  console.log(`${dataset.name}, licence ${dataset.licence}${split ? `, ${split} split` : ''}`);
  for (const note of notes) console.log(`  ${note}`);
  console.log(`\n${partsTable(summary)}`);
  if (summary.inNoPart > 0) console.log(`${formatCount(summary.inNoPart)} questions are in no part`);
  console.log();
  for (const line of lines) console.log(line);
}

async function writeImages(data: string, folder: string, json: boolean): Promise<void> {
  const { exportImages } = await import('../../export-images.js');
  const { rows, images } = await exportImages(data, folder);
  if (json) console.log(JSON.stringify({ folder, rows, images }));
  else
    console.log(
      `${folder}: ${formatCount(rows)} rows, ${formatCount(images)} images\nnext: ort-data inspect ${folder}`,
    );
}

/** `ort-data inspect`. */
export const inspect = subcommand(
  'inspect <data>',
  defineCommand({
    describe: 'Counts, sizes, text lengths and baselines of a data set, and a contact sheet',
    options,
    handler: async (flags) => {
      const { summarise, textFacts } = await import('../../../../datasets/check/summary.js');
      const { safeName } = await import('../../../../datasets/check/identifiers.js');
      const { loadTokenizer } = await import('../../../../datasets/load-tokenizer.js');
      const { shuffled } = await import('../../../../datasets/random.js');
      const { checkSheetName, writeContactSheet } = await import('../../contact-sheet.js');
      const { readImageFacts } = await import('../../image-facts.js');
      const samples = checkCount(flags.samples, '--samples');
      const limits = limitsOf(flags);
      if (flags.exportImages !== undefined) return writeImages(flags.data, flags.exportImages, flags.json);
      if (flags.contactSheet) checkSheetName(flags.contactSheet);
      const opened = await openData(flags);
      const { dataset, parts } = opened;
      const { questions } = dataset;
      if (flags.save) (await import('./save.js')).saveSettings(flags, dataset);
      const summary = summarise(questions, parts);
      const texts = textFacts(questions, loadTokenizer(), limits);
      const bar = progressBar('reading images');
      const facts = flags.textOnly ? undefined : await readImageFacts(dataset, opened.imageIds, bar.update);
      bar.stop();
      const sizes = facts && sizesOf(facts);
      const drawn = shuffled(questions, flags.seed, 'samples').slice(0, Math.min(samples, 5));
      const names = partOf(opened);
      const sheet = flags.contactSheet
        ? await writeContactSheet(dataset, flags.contactSheet, {
            samples,
            seed: flags.seed,
            partOf: (qid) => names.get(qid),
          })
        : undefined;
      if (flags.json) {
        const { name, licence, skipped } = dataset;
        const { split, notes } = opened;
        const head = { name, licence, split: split ?? null, notes, skipped };
        return console.log(
          JSON.stringify({ ...head, ...summary, texts, images: sizes ?? null, samples: drawn }),
        );
      }
      print(opened, summary, [
        ...Object.entries(summary.columns).map(valuesLine),
        `${formatCount(summary.distinctQuestions)} distinct questions, ${formatCount(summary.distinctAnswers)} distinct answers`,
        ...textLines(texts, limits),
        ...(sizes
          ? [
              `images: ${formatCount(sizes.count)}, longer side ${sizes.shortest} to ${sizes.longest} pixels, median ${sizes.median}${sizes.unreadable > 0 ? `; ${sizes.unreadable} cannot be decoded` : ''}`,
            ]
          : []),
        majorityLine(summary),
        '\nsamples',
        ...drawn.map((q) => `  ${safeName(q.imageId)}  ${q.question}  ${q.answer}`),
        ...(sheet !== undefined ? [`\n${flags.contactSheet}: ${sheet} images`] : []),
        `\nnext: ort-data check ${flags.data}`,
      ]);
    },
  }),
);
