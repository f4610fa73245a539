/** @file All measures of a list of answered questions, whoever answered them. */
import type { Question } from '../dataset.js';
import {
  type Accuracy,
  type AnsweredQuestion,
  byKind,
  exactMatch,
  type QuestionKind,
  type Scores,
  scoreAnswers,
} from './accuracy.js';
import { type BootstrapOptions, bootstrapMean, type Interval } from './bootstrap.js';
import { type Calibration, calibrationError } from './calibration.js';
import { isSameAnswer } from './normalise-answer.js';
import { type RiskCoverage, riskCoverage } from './selective.js';
import { type MetricName, textMetrics } from './text-metrics.js';
import { type YesNoConfusion, yesNoConfusion } from './yes-no.js';

export const measureNames = ['exact', 'f1', 'bleu1', 'yes-no', 'groups', 'calibration'] as const;
export type MeasureName = (typeof measureNames)[number];

/** A question with its prediction, and what it is asked about where the data set says so. */
export interface MeasuredRow
  extends AnsweredQuestion,
    Pick<Question, 'qid' | 'organ' | 'questionType' | 'modality'> {
  /** the model's own confidence, in [0, 1] */
  readonly probability?: number;
  /** the same after temperature scaling */
  readonly calibrated?: number;
}

export interface MeanScore extends Interval {
  readonly n: number;
  readonly mean: number;
}

export interface Confidence {
  readonly calibration: Calibration;
  readonly selective: RiskCoverage;
}

export const groupFields = ['organ', 'questionType', 'modality'] as const;
export type GroupField = (typeof groupFields)[number];

export interface Measures {
  /** exact match */
  readonly scores: Scores;
  readonly f1?: Record<QuestionKind, MeanScore>;
  readonly bleu1?: Record<QuestionKind, MeanScore>;
  readonly yesNo?: YesNoConfusion;
  /** exact match by the value of a field, for fields that rows have */
  readonly groups?: Partial<Record<GroupField, Record<string, Accuracy>>>;
  readonly confidence?: Partial<Record<'probability' | 'calibrated', Confidence>>;
}

function meanScore(
  metric: MetricName,
  rows: readonly AnsweredQuestion[],
  options?: BootstrapOptions,
): MeanScore {
  const values = rows.map((row) => textMetrics[metric].of(row.prediction, row.answer));
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return { n: values.length, mean, ...bootstrapMean(values, options) };
}

/** A question of two types, `POS, ABN`, counts in both. */
const valuesOf = (row: MeasuredRow, field: GroupField): string[] =>
  (row[field] ?? '').split(',').flatMap((value) => value.trim() || []);

function byGroup(rows: readonly MeasuredRow[], options?: BootstrapOptions): Measures['groups'] {
  const fields = groupFields.flatMap((field) => {
    const values = [...new Set(rows.flatMap((row) => valuesOf(row, field)))].sort();
    const scores = values.map((value) => [
      value,
      exactMatch(
        rows.filter((row) => valuesOf(row, field).includes(value)),
        options,
      ),
    ]);
    return values.length === 0 ? [] : [[field, Object.fromEntries(scores)] as const];
  });
  return Object.fromEntries(fields);
}

function confidenceOf(rows: readonly MeasuredRow[]): Measures['confidence'] {
  const correct = rows.map((row) => isSameAnswer(row.prediction, row.answer));
  const found = (['probability', 'calibrated'] as const).flatMap((field) => {
    const values = rows.flatMap((row) => row[field] ?? []);
    if (values.length < rows.length || rows.length === 0) return [];
    const both = { calibration: calibrationError(values, correct), selective: riskCoverage(values, correct) };
    return [[field, both] as const];
  });
  return found.length > 0 ? Object.fromEntries(found) : undefined;
}

/** The chosen measures; exact match always, confidence where every row has one. */
export function measure(
  rows: readonly MeasuredRow[],
  names: readonly MeasureName[] = measureNames,
  options?: BootstrapOptions,
): Measures {
  const wanted = (name: MeasureName) => names.includes(name);
  const confidence = wanted('calibration') ? confidenceOf(rows) : undefined;
  const means = (metric: MetricName) => byKind(rows, (some) => meanScore(metric, some, options));
  return {
    scores: scoreAnswers(rows, options),
    ...(wanted('f1') && { f1: means('f1') }),
    ...(wanted('bleu1') && { bleu1: means('bleu1') }),
    ...(wanted('yes-no') && { yesNo: yesNoConfusion(rows, options) }),
    ...(wanted('groups') && { groups: byGroup(rows, options) }),
    ...(confidence && { confidence }),
  };
}
