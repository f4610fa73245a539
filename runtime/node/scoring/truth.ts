/** @file Reference answers by name or from a file. */

import { isShipped } from '../../../datasets/open-dataset.js';
import { readTruth, type TruthFile } from '../../../datasets/scoring/answer-files.js';
import { loadData } from '../data.js';

/** `vqa-rad` names the questions of a part of its split; anything else is a file. */
export async function truthOf(
  truth: string,
  { split, on }: { readonly split: string; readonly on: 'test' | 'validation' },
): Promise<TruthFile> {
  if (!isShipped(truth)) return readTruth(truth);
  return { truth: (await loadData({ data: truth, split, frame: false }))[on], otherLanguages: 0 };
}
