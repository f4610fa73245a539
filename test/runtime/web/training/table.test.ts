/** @file Tables as users have them. */
import { expect, test } from 'vitest';
import { readTable } from '../../../../runtime/web/training/table.js';

const rows = (text: string) => readTable(text, 'table');

test('CSV of several tools gives the same rows', () => {
  const expected = [
    { qid: '7', imageId: 'a.png', question: 'Is it, or not?', answer: 'yes', split: 'train' },
    { qid: '8', imageId: 'b.png', question: 'Where is the "mass"?', answer: 'left', split: 'validation' },
  ];
  const quoted =
    'qid,image,question,answer,split\n7,a.png,"Is it, or not?",yes,train\n8,b.png,"Where is the ""mass""?",left,val\n';
  expect(rows(quoted)).toEqual(expected);
  expect(rows(`\uFEFF${quoted.replaceAll('\n', '\r\n')}`)).toEqual(expected); // Excel
  const semicolons =
    'QID;Image_Name;Question;Answer;Set\n7;scans/a.png;Is it, or not?;yes;Train\n8;C:\\x\\b.png;"Where is the ""mass""?";left;dev\n';
  expect(rows(semicolons)).toEqual(expected);
  const json = JSON.stringify([
    { qid: 7, image_name: 'a.png', question: 'Is it, or not?', answer: 'yes', split: 'train' },
    { qid: 8, image_name: 'b.png', question: 'Where is the "mass"?', answer: 'left', split: 'validation' },
  ]);
  expect(rows(json)).toEqual(expected);
  expect(rows(`{"version": 1, "questions": ${json}}`)).toEqual(expected);
});

test('test rows are left out', () => {
  expect(rows('image,question,answer,split\na.png,q,yes,test\nb.png,q,no,train\n').map((r) => r.qid)).toEqual(
    ['row2'],
  );
});

test('without a split about one in ten images checks, all its questions together', () => {
  const lines = Array.from({ length: 2000 }, (_, i) => `image${i % 500}.png,what?,yes`);
  const all = rows(`image,question,answer\n${lines.join('\n')}\n`);
  const share = all.filter(({ split }) => split === 'validation').length / all.length;
  expect(share).toBeGreaterThan(0.05);
  expect(share).toBeLessThan(0.15);
  const splits = new Map(all.map(({ imageId, split }) => [imageId, split]));
  for (const { imageId, split } of all) expect(split).toBe(splits.get(imageId));
  expect(rows(`image,question,answer\n${lines.join('\n')}\n`)).toEqual(all);
});

test.each([
  ['picture,question,answer\na,b,c\n', /no column for the image.*there are picture, question, answer/s],
  ['image,question,answer\na.png,,yes\n', /is empty.*row 1/s],
  ['image,question,answer\n', /the table is empty/],
  ['image,question,answer\na.png,q,"yes\n', /line 2/],
  ['[1, 2', /not JSON/],
  ['{"rows": 3}', /no list of rows/],
])('%j is refused: %s', (text, message) => {
  expect(() => rows(text)).toThrow(message);
});
