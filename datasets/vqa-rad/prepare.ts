/**
 * @file Script: makes the shipped folder from the published VQA-RAD files.
 *
 *   node .build/datasets/vqa-rad/prepare.js <published folder> [<output folder>]
 *
 * The published folder holds trainset.json, testset.json and images/.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { z } from 'zod';
import { UserError } from '../../graph-builder/errors.js';
import { type Question, questionsSchema } from '../dataset.js';
import { packageRoot } from '../package-root.js';
import { readJson } from '../read-json.js';
import { splitNames } from '../split.js';
import { makeSplit } from '../split-file.js';
import { cleanRow, publishedRowSchema } from './clean.js';

/** Long side of the shipped images in pixels: above the 384 px of the largest preset. */
const LONG_SIDE = 480;
const QUALITY = 82;

function readPublished(folder: string, set: Question['set']): Question[] {
  const file = join(folder, `${set}set.json`);
  const rows = readJson(file, z.array(publishedRowSchema), 'give the folder of the published files');
  return rows.map((row) => cleanRow(row, set));
}

/** One row a line: a change of one row is a change of one line. */
const oneRowALine = (rows: readonly unknown[]) =>
  `[\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n]\n`;

async function prepare(published: string, out: string): Promise<void> {
  const read = [...readPublished(published, 'train'), ...readPublished(published, 'test')];
  const questions = questionsSchema.parse(read);
  await mkdir(join(out, 'images'), { recursive: true });
  await mkdir(join(out, 'splits'), { recursive: true });
  await writeFile(join(out, 'questions.json'), oneRowALine(questions));
  for (const name of splitNames) {
    await writeFile(join(out, 'splits', `${name}.json`), `${JSON.stringify(makeSplit(questions, name))}\n`);
  }
  let sizeBytes = 0;
  const imageIds = new Set(questions.map((q) => q.imageId));
  for (const imageId of imageIds) {
    const { size } = await sharp(join(published, 'images', imageId))
      .resize(LONG_SIDE, LONG_SIDE, { fit: 'inside', withoutEnlargement: true })
      .jpeg({ quality: QUALITY, mozjpeg: true })
      .toFile(join(out, 'images', imageId));
    sizeBytes += size;
  }
  console.log(`${questions.length} questions, ${imageIds.size} images of ${(sizeBytes / 1e6).toFixed(1)} MB`);
}

const [published, out = join(packageRoot(), 'datasets', 'vqa-rad')] = process.argv.slice(2);
if (!published)
  throw new UserError('no folder given', 'argument 1', 'give the folder of the published files');
await prepare(published, out);
