import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openDataset } from '../../../datasets/open-dataset.js';
import { decodeImage } from '../../../runtime/node/decode-image.js';
import { exportImages } from '../../../runtime/node/export-images.js';
import { oracle } from '../../datasets/formats/sets.js';
import { temporaryFolder } from './runs.js';

test("images that Python wrote into Parquet shards: each once, with their rows' questions and parts", async () => {
  const folder = join(temporaryFolder(), 'out');
  expect(await exportImages(oracle('hf'), folder)).toEqual({ rows: 4, images: 3 });
  expect(readdirSync(join(folder, 'images'))).toHaveLength(3);
  const { questions, imagePath } = await openDataset(folder);
  const rows = questions.map(({ question, answer, set }) => [question, answer, set]);
  expect(rows.sort()).toEqual([
    ['How bright is 10?', '10', 'train'],
    ['How bright is 10?', '10', 'train'],
    ['How bright is 20?', '20', 'train'],
    ['How bright is 30?', '30', 'test'],
  ]);
  for (const { imageId, answer } of questions) {
    const { data, width, height } = await decodeImage(imagePath(imageId));
    expect([width, height, data[0]]).toEqual([12, 8, Number(answer)]);
  }
});

test('what cannot be exported', async () => {
  const folder = temporaryFolder();
  await expect(exportImages(oracle('rows.parquet'), folder)).rejects.toThrow(
    /^the file holds no images\n.*rows\.parquet\n/,
  );
  await expect(exportImages(oracle('hard.csv'), folder)).rejects.toThrow(
    /^only Parquet files .*\n.*hard\.csv\n/,
  );
  writeFileSync(join(folder, 'a.txt'), '');
  await expect(exportImages(oracle('hf'), folder)).rejects.toThrow(
    /^the folder is not empty\n.*--export-images/,
  );
});
