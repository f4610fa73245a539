/** @file Files of predictions and reference answers, in the forms that other programs write. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { pairAnswers, readPredictions, readTruth } from '../../../datasets/scoring/answer-files.js';
import { FileError } from '../../../graph-builder/errors.js';

const folder = mkdtempSync(join(tmpdir(), 'mile-ort-test-'));
afterAll(() => rmSync(folder, { recursive: true }));
let count = 0;
const file = (extension: string, content: string): string => {
  const path = join(folder, `${count++}${extension}`);
  writeFileSync(path, content);
  return path;
};

test.each([
  ['.jsonl', '{"qid": 1, "prediction": "yes"}\n\n{"qid": "2", "prediction": "x, \\"y\\""}\n'],
  ['.json', '[{"question_id": 1, "answer": "yes"}, {"question_id": 2, "answer": "x, \\"y\\""}]'],
  ['.csv', '\uFEFFqid,prediction\r\n1,yes\r\n2,"x, ""y"""\r\n'],
  ['.tsv', 'id\tpred\n1\tyes\n2\tx, "y"\n'],
])('%s', (extension, content) => {
  const rows = readPredictions(file(extension, content));
  expect([...rows.values()]).toEqual([
    { qid: '1', prediction: 'yes' },
    { qid: '2', prediction: 'x, "y"' },
  ]);
});

test('our own recorded lines: the prediction is not the reference answer; confidence comes along', () => {
  const path = file('.jsonl', '{"qid":"7","answer":"no","prediction":"yes","probability":0.25}');
  expect(readPredictions(path).get('7')).toEqual({ qid: '7', prediction: 'yes', probability: 0.25 });
});

const slake = [
  {
    img_id: 1,
    img_name: 'xmlab1/source.jpg',
    question: 'What modality is used to take this image?',
    answer: 'MRI',
    q_lang: 'en',
    location: 'Abdomen',
    modality: 'MRI',
    answer_type: 'OPEN',
    base_type: 'vqa',
    content_type: 'Modality',
    qid: 0,
  },
  { qid: 1, question: '图像里包含肝脏吗？', answer: '是的', q_lang: 'zh', answer_type: 'CLOSED' },
];

test("SLAKE's published rows: English ones, with organ, type and modality", () => {
  const { truth, otherLanguages } = readTruth(file('.json', JSON.stringify(slake)));
  expect(otherLanguages).toBe(1);
  expect(truth).toEqual([
    {
      qid: '0',
      question: 'What modality is used to take this image?',
      answer: 'MRI',
      answerType: 'open',
      organ: 'Abdomen',
      questionType: 'Modality',
      modality: 'MRI',
    },
  ]);
});

test("VQA-RAD's published rows: numbers as answers, a blank behind CLOSED", () => {
  const rows = [
    {
      qid: 5,
      image_organ: 'HEAD',
      answer: 2,
      answer_type: 'OPEN',
      question_type: 'COUNT',
      question: 'How many?',
    },
    {
      qid: 6,
      image_organ: 'ABD',
      answer: 'Right',
      answer_type: 'CLOSED ',
      question_type: 'POS',
      question: 'Left?',
    },
  ];
  const { truth } = readTruth(file('.json', JSON.stringify(rows)));
  expect(truth.map((t) => [t.qid, t.answer, t.answerType, t.organ])).toEqual([
    ['5', '2', 'open', 'HEAD'],
    ['6', 'Right', 'closed', 'ABD'],
  ]);
});

test('without answer_type, yes and no are closed', () => {
  const { truth } = readTruth(file('.csv', 'qid,answer\n1,Yes\n2,lung\n'));
  expect(truth.map((t) => t.answerType)).toEqual(['closed', 'open']);
});

test.each([
  [
    'a qid that stands twice',
    '.jsonl',
    '{"qid":1,"prediction":"a"}\n{"qid":"1","prediction":"b"}',
    /qid 1 stands twice, in row 1 and row 2/,
  ],
  ['a row without a qid', '.csv', 'name,prediction\nx,yes\n', /no qid: its fields are name, prediction/],
  ['a row without a prediction', '.jsonl', '{"qid":1}', /no prediction: its fields are qid/],
  ['a damaged line', '.jsonl', '{"qid":1,"prediction":"a"}\n{"qid":2,', /not JSON.*\n.*\.jsonl:2/],
  ['a list of strings', '.json', '["yes"]', /a row is no object/],
  ['an object', '.json', '{"1": "yes"}', /no list of rows/],
  ['a confidence of 80', '.csv', 'qid,prediction,confidence\n1,yes,80\n', /'80' is no probability/],
  ['too many columns', '.csv', 'qid,prediction\n1,yes\n2,a,b\n', /\.csv:3/],
  ['no rows', '.csv', 'qid,prediction\n', /no rows/],
  ['another format', '.xlsx', 'PK', /'.xlsx' is no format/],
])('%s is an error', (_what, extension, content, message) => {
  const read = () => readPredictions(file(extension, content));
  expect(read).toThrow(FileError);
  expect(read).toThrow(message);
});

test('a missing file is an error', () =>
  expect(() => readTruth(join(folder, 'none.json'))).toThrow(/not found/));

test('missing and extra questions are counted and named', () => {
  const { truth } = readTruth(file('.csv', 'qid,answer\n1,yes\n2,no\n3,no\n'));
  const some = readPredictions(file('.csv', 'qid,prediction\n1,yes\n9,no\n'));
  expect(() => pairAnswers(truth, some, 'p.csv')).toThrow(
    /2 of 3 questions have no prediction \(2, 3\); 1 predictions are of questions that the truth has not \(9\)/,
  );
});
