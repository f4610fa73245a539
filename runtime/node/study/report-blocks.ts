/** @file The report of a study, as blocks. */
import { NOTICE } from '../cli/main.js';
import { formatSeconds } from './budget.js';
import type { Collected } from './collect.js';
import { type Block, heading, list, text } from './document.js';
import type { Figure } from './figures.js';
import type { Finding } from './findings.js';
import { paperFigures, tableTitles } from './paper.js';
import { LEAST_EPOCHS } from './paper-grid.js';
import { comparisonTable, otherRows, paperTable, stageTable, threadsOf } from './report-tables.js';
import { runId, type StudyRun } from './row.js';
import type { StudySettings } from './settings.js';
import type { StudyState } from './state.js';
import { limits, type Summary, sentences } from './words.js';

export interface StudyFacts {
  readonly settings: StudySettings;
  readonly state: StudyState;
  /** not finished */
  readonly missing: readonly StudyRun[];
  readonly all: Collected;
  readonly summary: Summary;
  readonly findings: readonly Finding[];
  readonly figures: readonly Figure[];
}

function about({ settings, all, missing }: StudyFacts): Block[] {
  const runs = all.rows.flatMap((row) => row.runs);
  const trained = runs.find(({ row }) => row.trained) ?? runs[0]!;
  const { cpu = 'unknown', onnxruntime = '-', device = 'cpu' } = trained.environment;
  const spent = runs.reduce((sum, { seconds }) => sum + seconds, 0);
  const { data, split, preset, limit } = settings;
  const few = limit === null ? '' : ` **A try-out: only the first ${limit} questions of training and test.**`;
  return [
    text(`**${NOTICE}**`),
    text(
      `\`${preset}\`, base weights: ${trained.weights}; data \`${data}\`, ${split} split (sha256 ${trained.splitSha256.slice(0, 12)}), ${all.qids.length} test questions, ${all.yesNo.filter(Boolean).length} of them answered yes or no.${few}`,
    ),
    text(
      `${runs.length} runs of ${all.rows.length} rows${missing.length > 0 ? `, ${missing.length} missing` : ''}; ${formatSeconds(spent)} of training and scoring; ${cpu}, device ${device}, threads ${threadsOf(runs)}, onnxruntime ${onnxruntime}.`,
    ),
  ];
}

function differs({ settings }: StudyFacts): Block[] {
  const { preset, data } = settings;
  return [
    text(
      `The paper's figures (${paperFigures().source}) are shown beside ours to compare **patterns, not values**:`,
      `its base is a model of 361 million parameters, pretrained on 38,800 image and text pairs, at 480 pixels, trained for 130 epochs on SLAKE;`,
      `here it is \`${preset}\` on \`${data}\`. Shares of trainable parameters differ, too, as small models have relatively larger vocabularies.`,
      'Peak memory is that of the whole training program; the paper gives the memory of a GPU at batch 20.',
    ),
  ];
}

const tables = ({ all }: StudyFacts): Block[] =>
  [1, 2, 3, 4, 5, 6, 7].flatMap((n) => {
    const table = n === 5 ? stageTable(all) : paperTable(n, all);
    return table ? [heading(3, tableTitles[n]!), table] : [];
  });

function others({ all }: StudyFacts): Block[] {
  const table = otherRows(all);
  if (!table) return [];
  const onlyBase =
    table.rows.length === 1 && !all.rows.find(({ row }) => row.tables.length === 0)!.row.trained;
  return [heading(3, onlyBase ? 'The base' : 'Rows'), table];
}

function judged({ findings, all }: StudyFacts): Block[] {
  if (all.rows.every(({ row }) => row.tables.length === 0)) return [];
  return [
    heading(2, 'The paper’s findings, one by one'),
    text('Each rule was written down with the program, before any of these numbers.'),
    {
      kind: 'table',
      words: 4,
      head: ['finding', 'this study', 'numbers', 'rule'],
      rows: findings.map(({ claim, verdict, reason, rule }) => [claim, `**${verdict}**`, reason, rule]),
    },
  ];
}

function compared({ summary, all }: StudyFacts): Block[] {
  const { best, toBest, toBase } = summary;
  const byMean = toBest.toSorted((a, b) => a.difference.mean - b.difference.mean);
  const flipped = toBase.map((c) => ({
    ...c,
    a: c.b,
    b: c.a,
    difference: {
      ...c.difference,
      mean: -c.difference.mean,
      low: -c.difference.high,
      high: -c.difference.low,
    },
  }));
  return [
    ...(byMean.length > 0
      ? [heading(3, `\`${best.row.label}\` minus each other row`), comparisonTable(byMean, all)]
      : []),
    ...(flipped.length > 0
      ? [
          heading(3, 'The base minus each row'),
          comparisonTable(
            flipped.toSorted((a, b) => a.difference.mean - b.difference.mean),
            all,
          ),
        ]
      : []),
  ];
}

function notRun({ missing, state, all }: StudyFacts): Block[] {
  const why = missing.map((run) => {
    const trouble = state[runId(run)];
    return `\`${runId(run)}\`: ${trouble ? `${trouble.status}: ${trouble.reason.split('\n').join('; ').replaceAll('  ', '')}` : 'not run yet'}`;
  });
  const broken = all.broken.map(({ id, reason }) => `\`${id}\`: cannot be read: ${reason}`);
  if (why.length + broken.length === 0) return [];
  return [heading(2, 'What is missing'), list([...why, ...broken])];
}

function method({ settings }: StudyFacts): Block[] {
  return [
    heading(2, 'How the numbers are made'),
    list([
      'Closed: answered yes or no; opened: all others; global: all test questions. Exact match, both sides lower-cased, trimmed, blanks around punctuation and a final full stop dropped. Beam search, 3 beams, the checkpoint that was best on validation questions.',
      'Accuracy: mean over seeds. Its 95% interval takes questions and seeds as drawn at random: the variance of question means plus that of seed means, Student’s t with Welch and Satterthwaite’s degrees of freedom, in the form of Wilson’s interval (no interval leaves 0 to 100%). With one seed the spread between seeds is not in it.',
      'Differences are paired by question and seed, with an interval of the same kind in the form of Bonett and Price (one more question counted for each side). **A difference whose interval reaches 0 is called a tie.** McNemar’s exact test of each seed stands beside it. No correction for the number of comparisons.',
      `A row below ${LEAST_EPOCHS} epochs, or interrupted, is marked “not trained to the end” and supports no finding.`,
      'Seconds a step: median of all updates, so that pauses and loading do not count. They compare rows with the same threads only; where runs were trained side by side (`--jobs`), they are those of a shared machine. Peak memory: largest proportional set size of both processes of the training together. Adapter: bytes of `adapter/`, trained modules included.',
    ]),
    heading(3, 'Settings'),
    {
      kind: 'table',
      words: 4,
      head: ['row', 'build-graph', 'ort-train', 'seeds'],
      rows: settings.rows.map((row) => [
        row.label,
        [
          row.variant === 'full' ? '' : row.placement,
          ...Object.entries(row.build).map(([k, v]) => `--${k} ${v}`),
        ]
          .filter(Boolean)
          .join(' '),
        row.trained
          ? Object.entries(row.train)
              .map(([k, v]) => `--${k} ${v}`)
              .join(' ')
          : 'not trained',
        row.seeds.join(', '),
      ]),
    },
  ];
}

export function reportBlocks(facts: StudyFacts): Block[] {
  const { settings, all, summary, figures, missing } = facts;
  return [
    heading(1, `Tuning methods on ${settings.data}: ${all.rows.length} rows`),
    ...about(facts),
    heading(2, 'What the numbers say'),
    list(sentences(all, summary)),
    heading(3, 'What they do not say'),
    list(limits(all, summary, missing)),
    ...judged(facts),
    heading(2, 'Tables'),
    ...(all.rows.some(({ row }) => row.tables.length > 0) ? differs(facts) : []),
    ...others(facts),
    ...tables(facts),
    heading(2, 'Figures'),
    ...figures.map(({ name, title, caption }): Block => ({ kind: 'figure', name, title, caption })),
    heading(2, 'Comparisons'),
    ...compared(facts),
    ...notRun(facts),
    ...method(facts),
  ];
}
