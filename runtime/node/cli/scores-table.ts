/** @file Scores as tables. */
import type { Accuracy, QuestionKind } from '../../../datasets/scoring/accuracy.js';
import { BINS } from '../../../datasets/scoring/calibration.js';
import type { KindComparison } from '../../../datasets/scoring/comparison.js';
import {
  type Confidence,
  type GroupField,
  type MeanScore,
  type MeasureName,
  type Measures,
  measureNames,
} from '../../../datasets/scoring/measure.js';
import { textMetrics } from '../../../datasets/scoring/text-metrics.js';
import type { Said } from '../../../datasets/scoring/yes-no.js';
import type { Abstaining, Evaluation } from '../evaluate.js';
import { formatTable } from './main.js';

export const percent = (share: number): string => (Number.isFinite(share) ? (100 * share).toFixed(1) : '-');

const interval = ({ low, high }: { low: number; high: number }): string => `${percent(low)}-${percent(high)}`;

const row = (name: string, score: Accuracy): string[] => [
  name,
  String(score.n),
  percent(score.accuracy),
  interval(score),
];

export const kindTitles: Readonly<Record<QuestionKind, string>> = {
  overall: 'overall',
  closed: 'closed (answer_type)',
  open: 'open (answer_type)',
  yesNo: 'closed (yes/no answers)',
  notYesNo: 'others',
};
const kinds = Object.keys(kindTitles) as QuestionKind[];

export const groupTitles: Readonly<Record<GroupField, string>> = {
  organ: 'organ',
  questionType: 'question type',
  modality: 'modality',
};

type Scored = Measures & Partial<Pick<Evaluation, 'majority'>>;

export function scoresTable({ scores, majority }: Pick<Scored, 'scores' | 'majority'>): string {
  return formatTable([
    ['accuracy', 'n', '%', '95%'],
    ...kinds.map((kind) => row(kindTitles[kind], scores[kind])),
    ...(majority ? [row(`always '${majority.answer}' on yes/no`, majority.yesNo)] : []),
  ]);
}

const meansTable = (title: string, means: Record<QuestionKind, MeanScore>): string =>
  formatTable([
    [title, 'n', '%', '95%'],
    ...kinds.map((kind) => {
      const score = means[kind];
      return [kindTitles[kind], String(score.n), percent(score.mean), interval(score)];
    }),
  ]);

function yesNoTable({ n, table, bias }: NonNullable<Measures['yesNo']>): string {
  const said: readonly Said[] = ['yes', 'no', 'other'];
  const counts = formatTable([
    ['yes/no: right answer', ...said.map((s) => (s === 'other' ? 'said other' : `said ${s}`))],
    ...(['yes', 'no'] as const).map((right) => [right, ...said.map((s) => String(table[right][s]))]),
  ]);
  const leaning = `says yes ${percent(bias.mean)} points more often than is right (95%: ${percent(bias.low)} to ${percent(bias.high)}; n ${n})`;
  return n === 0 ? 'yes/no: no such questions' : `${counts}\n${leaning}`;
}

const groupTables = (groups: NonNullable<Measures['groups']>): string[] =>
  (Object.entries(groups) as [GroupField, Record<string, Accuracy>][]).map(([field, values]) =>
    formatTable([
      [`exact match by ${groupTitles[field]}`, 'n', '%', '95%'],
      ...Object.entries(values).map(([value, score]) => row(value, score)),
    ]),
  );

const confidenceTable = (confidence: NonNullable<Measures['confidence']>): string =>
  formatTable([
    ['confidence', 'calibration error %', 'AURC %', 'least possible'],
    ...(Object.entries(confidence) as [string, Confidence][]).map(([name, c]) => [
      name === 'calibrated' ? 'after temperature scaling' : 'probability of the answer',
      percent(c.calibration.ece),
      percent(c.selective.aurc),
      percent(c.selective.best),
    ]),
  ]);

export function abstainingLine(
  { answered, correct, threshold, temperature, risk }: Abstaining,
  n: number,
): string {
  const aim = `aim on validation: at most ${percent(risk)}% wrong`;
  if (threshold === null)
    return `temperature ${temperature.toFixed(2)}; abstains always: no threshold was safe enough (${aim})`;
  const wrong = answered === 0 ? '-' : `${percent(1 - correct / answered)}%`;
  return `temperature ${temperature.toFixed(2)}; answering only above ${percent(threshold)}%: ${answered} of ${n} answered, ${wrong} of these wrong (${aim})`;
}

/** All measures that there are, one table below the other. */
export function measuresText(measures: Scored): string {
  const { f1, bleu1, yesNo, groups, confidence } = measures;
  return [
    scoresTable(measures),
    ...(f1 ? [meansTable(textMetrics.f1.title, f1)] : []),
    ...(bleu1 ? [meansTable(textMetrics.bleu1.title, bleu1)] : []),
    ...(yesNo ? [yesNoTable(yesNo)] : []),
    ...(groups ? groupTables(groups) : []),
    ...(confidence ? [confidenceTable(confidence)] : []),
  ].join('\n\n');
}

/** How each measure is defined, in words. */
export const definitions: Readonly<Record<MeasureName, string>> = {
  exact: textMetrics.exact.definition,
  f1: textMetrics.f1.definition,
  bleu1: textMetrics.bleu1.definition,
  'yes-no':
    'yes/no: questions whose reference answer is yes or no, as in the code of MISS; the bias is the share answered yes minus the share that is yes',
  groups: 'groups: exact match of the questions of a group; a question of two types counts in both',
  calibration: `calibration: expected calibration error over ${BINS} equal-width bins of exp(sum of log p of the answer's tokens, its end included); AURC: mean share of wrong answers among the k most confident, over all k`,
};

/** The definitions of the measures, and of the intervals: they stand under every table. */
export const definitionsText = (names: readonly MeasureName[] = measureNames): string =>
  [
    ...names.map((name) => definitions[name]),
    '95%: percentile bootstrap of the questions, 2,000 resamples',
  ].join('\n');

export function comparisonTable(comparison: Record<QuestionKind, KindComparison>): string {
  const signed = (share: number) => `${share >= 0 ? '+' : ''}${percent(share)}`;
  return formatTable([
    ['exact match', 'n', 'A %', 'B %', 'A - B', '95%', 'only A', 'only B', 'p'],
    ...kinds.map((kind) => {
      const { n, accuracyA, accuracyB, paired, mcnemar } = comparison[kind];
      const range = `${signed(paired.low)} to ${signed(paired.high)}`;
      const counts = [mcnemar.onlyA, mcnemar.onlyB].map(String);
      const accuracies = [accuracyA, accuracyB].map(percent);
      return [
        kindTitles[kind],
        String(n),
        ...accuracies,
        signed(paired.difference),
        range,
        ...counts,
        mcnemar.p < 0.001 ? '<0.001' : mcnemar.p.toFixed(3),
      ];
    }),
  ]);
}
