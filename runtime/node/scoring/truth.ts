/** @file Reference answers by name or from a file. */
import { readTruth, type TruthFile } from '../../../datasets/scoring/answer-files.js';
import type { SplitName } from '../../../datasets/split.js';
import { dataNames, loadData } from '../data.js';

/** `vqa-rad` names the questions of a part of its split; anything else is a file. */
export function truthOf(
  truth: string,
  { split, on }: { readonly split: SplitName; readonly on: 'test' | 'validation' },
): TruthFile {
  if (!(dataNames as readonly string[]).includes(truth)) return readTruth(truth);
  return { truth: loadData({ data: truth, split, frame: false })[on], otherLanguages: 0 };
}
