/** @file The first questions of the bundled data as a user's table, with their images in a folder. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadVqaRad } from '../../datasets/vqa-rad.js';
import { loadData } from '../../runtime/node/data.js';

export interface UserData {
  /** path of the CSV file */
  readonly table: string;
  /** path of the folder */
  readonly images: string;
}

/** `train` and `validation`: how many questions of the official split, from its first; Infinity: all. */
export async function writeUserData(
  folder: string,
  counts: { train: number; validation: number },
): Promise<UserData> {
  const data = await loadData({ data: 'vqa-rad', split: 'official', frame: false });
  const rows = (['train', 'validation'] as const).flatMap((split) =>
    data[split].slice(0, counts[split]).map((row) => ({ ...row, split })),
  );
  const [table, images] = [join(folder, 'table.csv'), join(folder, 'images')];
  mkdirSync(images, { recursive: true });
  const rad = loadVqaRad();
  for (const { imageId } of rows) copyFileSync(rad.imagePath(imageId), join(images, imageId));
  const cell = (text: string) => `"${text.replaceAll('"', '""')}"`;
  const lines = rows.map((r) => [r.qid, r.imageId, r.question, r.answer, r.split].map(cell).join(','));
  writeFileSync(table, `QID,Image_Name,Question,Answer,Split\n${lines.join('\n')}\n`);
  return { table, images };
}
