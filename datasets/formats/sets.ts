/** @file The words for the parts of a split. */
import { extname } from 'node:path';
import type { SetName } from '../dataset.js';

export const setWords: Readonly<Record<string, SetName>> = {
  train: 'train',
  training: 'train',
  val: 'validation',
  valid: 'validation',
  validate: 'validation',
  validation: 'validation',
  dev: 'validation',
  test: 'test',
  testing: 'test',
};

/** The split that a file's name tells: train.csv, pathvqa_test.csv, val-2.csv. */
export function setOfName(file: string): SetName | undefined {
  const words = file
    .slice(0, -extname(file).length)
    .toLowerCase()
    .split(/[^a-z]+/);
  const found = new Set(words.map((word) => setWords[word]).filter((set) => set !== undefined));
  return found.size === 1 ? [...found][0] : undefined;
}
