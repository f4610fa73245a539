import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { chooseSplit } from '../../../datasets/choose-split.js';
import { questionsSchema } from '../../../datasets/dataset.js';
import { openDataset } from '../../../datasets/open-dataset.js';
import { loadVqaRad } from '../../../datasets/vqa-rad.js';
import { excerpt } from './sets.js';

interface SlakeRow {
  readonly qid: number;
  readonly q_lang: string;
  readonly img_name: string;
  readonly question: string;
  readonly answer: string;
}
const published = (folder: string, file: string): SlakeRow[] =>
  JSON.parse(readFileSync(join(folder, file), 'utf8'));
const lists = ['train.json', 'validate.json', 'test.json'];

describe('SLAKE', () => {
  let folder: string;
  let rows: SlakeRow[];
  beforeAll(async () => {
    const here = join(import.meta.dirname, 'slake-excerpt');
    rows = lists.flatMap((file) => published(here, file));
    folder = await excerpt(
      'slake-excerpt',
      rows.map((r) => `imgs/${r.img_name}`),
    );
  });

  test.each(['en', 'zh'])('all rows in %s are there, word for word', async (language) => {
    const { questions, licence } = await openDataset(folder, { language });
    const wanted = rows.filter((r) => r.q_lang === language && r.answer !== '');
    const plain = (r: { question: string; answer: string }) => `${r.question.trim()} ${r.answer.trim()}`;
    expect(new Map(questions.map((q) => [q.qid, plain(q)]))).toEqual(
      new Map(wanted.map((r) => [String(r.qid), plain(r)])),
    );
    expect(questionsSchema.safeParse(questions).success).toBe(true);
    expect(licence).toBe('CC-BY-4.0');
  });

  test('English is the default; other languages and the row without answer are told', async () => {
    const { questions, notes, skipped } = await openDataset(folder);
    expect(questions.every((q) => /^[\x20-\x7e]+$/.test(q.question))).toBe(true);
    const others = rows.filter((r) => r.q_lang === 'zh').length;
    expect(notes.join('\n')).toContain(`${others} in other languages`);
    expect(skipped).toMatchObject([{ reason: 'qid 1622 is published without answer' }]);
  });

  test('organ, modality and kind are the published ones', async () => {
    const { questions, imagePath } = await openDataset(folder);
    expect(questions.find((q) => q.qid === '0')).toEqual({
      qid: '0',
      imageId: 'xmlab1/source.jpg',
      question: 'What modality is used to take this image?',
      answer: 'MRI',
      answerType: 'open',
      questionType: 'Modality',
      organ: 'Abdomen',
      modality: 'MRI',
      set: 'train',
    });
    expect(imagePath('xmlab1/source.jpg')).toBe(join(folder, 'imgs', 'xmlab1', 'source.jpg'));
  });

  test('official is the split of the three files', async () => {
    const dataset = await openDataset(folder);
    const split = chooseSplit(dataset, 'official');
    for (const [i, part] of (['train', 'validation', 'test'] as const).entries()) {
      const wanted = published(folder, lists[i]!).filter((r) => r.q_lang === 'en' && r.answer !== '');
      expect(new Set(split[part])).toEqual(new Set(wanted.map((r) => String(r.qid))));
    }
  });

  test("the lists of the authors' code are read under their names", async () => {
    const copy = await excerpt('slake-excerpt', []);
    cpSync(join(folder, 'imgs'), join(copy, 'imgs'), { recursive: true });
    renameSync(join(copy, 'train.json'), join(copy, 'slake_train.jsol'));
    renameSync(join(copy, 'test.json'), join(copy, 'slake_test.jsol'));
    rmSync(join(copy, 'validate.json'));
    const { questions } = await openDataset(copy);
    expect(new Set(questions.map((q) => q.set))).toEqual(new Set(['train', 'test']));
  });

  test('a language it has not', () =>
    expect(openDataset(folder, { language: 'de' })).rejects.toThrow(
      /^no questions in 'de'\n.*--language\n.*choose from en, zh/,
    ));

  test('missing images', async () => {
    const copy = await excerpt('slake-excerpt', ['imgs/xmlab1/source.jpg']);
    await expect(openDataset(copy)).rejects.toThrow(
      /^6 of 7 images are missing, e\.g\. xmlab\d+\/source\.jpg, .*\n.*imgs\n.*--image-root/,
    );
    const { questions, skipped } = await openDataset(copy, { skipBad: true });
    expect(new Set(questions.map((q) => q.imageId))).toEqual(new Set(['xmlab1/source.jpg']));
    const gone = rows.filter(
      (r) => r.q_lang === 'en' && r.answer !== '' && !r.img_name.startsWith('xmlab1/'),
    );
    const named = skipped.filter((row) => /image xmlab\d+\/source\.jpg is not in/.test(row.reason));
    expect(named).toHaveLength(gone.length);
  });
});

describe('VQA-RAD', () => {
  const shipped = loadVqaRad();
  const here = join(import.meta.dirname, 'vqa-rad-excerpt');
  const read = (file: string): { qid: number; image_name: string }[] =>
    JSON.parse(readFileSync(join(here, file), 'utf8'));
  const rows = [...read('trainset.json'), ...read('testset.json')];
  const byQid = (qids: readonly number[]) =>
    qids.map((qid) => shipped.questions.find((q) => q.qid === String(qid)));

  test('trainset.json and testset.json give the rows that ship', async () => {
    const folder = await excerpt(
      'vqa-rad-excerpt',
      rows.map((r) => `images/${r.image_name}`),
    );
    const { questions, licence } = await openDataset(folder);
    const sorted = [...questions].sort((a, b) => Number(a.qid) - Number(b.qid));
    expect(sorted).toEqual(byQid(rows.map((r) => r.qid).sort((a, b) => a - b)));
    expect(licence).toBe('CC0-1.0');
  });

  test("the authors' public file marks its test rows in the phrase type", async () => {
    const folder = await excerpt('vqa-rad-excerpt', []);
    mkdirSync(join(folder, 'VQA_RAD Image Folder'));
    const test = read('testset.json').map((r) => ({
      ...r,
      phrase_type: `test_${(r as { phrase_type?: string }).phrase_type}`,
      evaluation: 'not evaluated',
    }));
    const kept = read('trainset.json').filter((r) => (r as { phrase_type?: string }).phrase_type !== 'frame');
    for (const file of ['trainset.json', 'testset.json']) rmSync(join(folder, file));
    writeFileSync(join(folder, 'VQA_RAD Dataset Public.json'), JSON.stringify([...kept, ...test]));
    const { questions } = await openDataset(folder, { textOnly: true });
    expect(questions).toEqual(byQid([...kept, ...test].map((r) => r.qid)));
  });

  test('a row that is not as published is named', async () => {
    const folder = await excerpt('vqa-rad-excerpt', []);
    const changed = read('testset.json').map((r, i) => (i === 1 ? { ...r, image_organ: 'KNEE' } : r));
    writeFileSync(join(folder, 'testset.json'), JSON.stringify(changed, null, 2));
    await expect(openDataset(folder, { textOnly: true })).rejects.toThrow(
      /^1 row cannot be used:\n {2}\S+testset\.json:12: image_organ: .*\n {2}where: \S+testset\.json:12\n.*--skip-bad/,
    );
  });
});
