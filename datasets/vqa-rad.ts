/** @file Loads VQA-RAD from the folder that ships with the package, or from one of the same form. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { FileError } from '../graph-builder/errors.js';
import { type Question, questionsSchema, type ShippedDataset } from './dataset.js';
import { packageRoot } from './package-root.js';
import { readJson } from './read-json.js';

const remedy =
  'reinstall the package, or make the folder anew with datasets/vqa-rad/prepare (see its README.md)';

/**
 * VQA-RAD: 3,515 questions about 314 radiology images.
 *
 * @param root folder with `questions.json`, `images/` and `splits/`; default: the shipped one.
 * @throws {FileError} when a file or an image is missing or damaged.
 */
export function loadVqaRad(root = join(packageRoot(), 'datasets', 'vqa-rad')): ShippedDataset {
  const questions = readJson(join(root, 'questions.json'), questionsSchema, remedy);
  checkImages(join(root, 'images'), questions);
  return {
    name: 'vqa-rad',
    licence: 'CC0-1.0',
    questions,
    notes: [],
    skipped: [],
    imagePath: (imageId) => join(root, 'images', imageId),
    splitPath: (name) => join(root, 'splits', `${name}.json`),
  };
}

function checkImages(folder: string, questions: readonly Question[]): void {
  let present: Set<string>;
  try {
    present = new Set(readdirSync(folder));
  } catch (error) {
    throw new FileError('the image folder cannot be read', folder, remedy, { cause: error });
  }
  const missing = new Set(questions.map((q) => q.imageId).filter((id) => !present.has(id)));
  if (missing.size === 0) return;
  const examples = [...missing].slice(0, 3).join(', ');
  throw new FileError(`${missing.size} images are missing, e.g. ${examples}`, folder, remedy);
}
