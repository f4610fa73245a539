/** @file Scores as a table. */
import type { Accuracy } from '../../../datasets/scoring/accuracy.js';
import type { Evaluation } from '../evaluate.js';
import { formatTable } from './main.js';

const percent = (share: number): string => (Number.isFinite(share) ? (100 * share).toFixed(1) : '-');

const row = (name: string, { n, accuracy, low, high }: Accuracy): string[] => [
  name,
  String(n),
  percent(accuracy),
  `${percent(low)}-${percent(high)}`,
];

/** How answers are compared, in words: it stands under every table. */
export const METRIC =
  'exact match; both sides lower-cased, trimmed, blanks around punctuation and a final full stop dropped; 95% bootstrap intervals';

export function scoresTable({ scores, majority }: Pick<Evaluation, 'scores' | 'majority'>): string {
  return formatTable([
    ['accuracy', 'n', '%', '95%'],
    row('overall', scores.overall),
    row('closed (answer_type)', scores.closed),
    row('open (answer_type)', scores.open),
    row('closed (yes/no answers)', scores.yesNo),
    row('others', scores.notYesNo),
    row(`always '${majority.answer}' on yes/no`, majority.yesNo),
  ]);
}
