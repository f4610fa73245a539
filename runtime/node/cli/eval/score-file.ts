/** @file `ort-eval --predictions`: answers of another program. Loads no model. */
import { pairAnswers, readPredictions } from '../../../../datasets/scoring/answer-files.js';
import { measure } from '../../../../datasets/scoring/measure.js';
import { truthOf } from '../../scoring/truth.js';
import type { EvalFlags } from '../ort-eval.js';
import { definitionsText, measuresText } from '../scores-table.js';
import { measuresOf } from './flags.js';

export async function scoreFile(flags: EvalFlags): Promise<void> {
  const { predictions, truth, split = 'official', on } = flags;
  const { truth: reference, otherLanguages } = await truthOf(truth!, { split, on });
  const rows = pairAnswers(reference, readPredictions(predictions!), predictions!);
  const measures = measure(rows, measuresOf(flags));
  if (flags.json) {
    console.log(JSON.stringify({ predictions, truth, otherLanguages, n: rows.length, ...measures }));
    return;
  }
  const left = otherLanguages > 0 ? `, ${otherLanguages} rows in other languages left out` : '';
  console.log(`${predictions}, ${rows.length} questions of ${truth}${left}\n\n${measuresText(measures)}`);
  console.log(`\n${definitionsText(measuresOf(flags))}`);
}
