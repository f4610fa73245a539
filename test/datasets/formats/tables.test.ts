import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { placeOf } from '../../../datasets/dataset.js';
import { elementLines } from '../../../datasets/formats/json-rows.js';
import { readRows, type Values } from '../../../datasets/formats/rows.js';
import { openDataset } from '../../../datasets/open-dataset.js';
import { FileError } from '../../../graph-builder/errors.js';
import { folderWith, oracle } from './sets.js';

async function rowsOf(file: string) {
  const rows: { line: number; cells: unknown[] }[] = [];
  let columns: readonly string[] = [];
  await readRows(file, {
    begin: (names) => {
      columns = names;
    },
    row: (line, values: Values) => rows.push({ line, cells: columns.map((name) => values[name]) }),
    bad: (at, reason) => {
      throw new Error(`${at}: ${reason}`);
    },
  });
  return rows;
}

const text = { textOnly: true };

describe("Python's tables", () => {
  test('a CSV with line ends and quotes in its cells: the cells and the lines that csv.reader reads', async () => {
    expect(await rowsOf(oracle('hard.csv'))).toEqual(
      JSON.parse(readFileSync(oracle('hard.golden.json'), 'utf8')),
    );
  });

  test('semicolons are found out', async () => {
    const cells = (rows: { cells: unknown[] }[]) => rows.map((r) => r.cells);
    expect(cells(await rowsOf(oracle('semicolon.csv')))).toEqual(cells(await rowsOf(oracle('hard.csv'))));
  });

  test('Parquet, in several row groups', async () => {
    const { questions } = await openDataset(oracle('rows.parquet'), text);
    expect(questions).toHaveLength(12);
    expect(questions[11]).toEqual({
      qid: '11',
      imageId: '2.png',
      question: 'Question 11?',
      answer: 'yes',
      answerType: 'closed',
      organ: 'HEAD',
    });
  });

  test.each([
    [
      'embedded.parquet',
      /^column 'image' holds the images themselves.*\n.*embedded\.parquet\n.*--export-images/,
    ],
    ['utf16.csv', /^the file is UTF-16 .*\n.*utf16\.csv\n.*UTF-8/],
    ['latin1.csv', /^the text is not UTF-8; probably Latin-1.*\n {2}where: \S+latin1\.csv:3\n.*iconv/],
  ])('%s', async (name, message) => {
    await expect(openDataset(oracle(name), text)).rejects.toThrow(message);
    await expect(openDataset(oracle(name), text)).rejects.toThrow(FileError);
  });
});

describe('forms', () => {
  const rows = [
    { file: 'x/1.png', question: 'Is it a CT?', answer: 'Yes', fold: 'train', who: 'p1' },
    { file: 'x/2.png', question: 'Where?', answer: 'left', fold: 'dev', who: 'p2' },
    { file: 'x/2.png', question: 'How many?', answer: '3', fold: 'test', who: 'p2' },
  ];
  const header = 'file,question,answer,fold,who';
  const lines = (separator: string) =>
    [header.replaceAll(',', separator), ...rows.map((r) => Object.values(r).join(separator))].join('\n');
  const options = { splitCol: 'fold', patientCol: 'who' };

  test.each([
    ['t.csv', lines(',')],
    ['t.tsv', lines('\t')],
    ['t.json', JSON.stringify(rows, null, 1)],
    ['t.jsonl', rows.map((r) => JSON.stringify(r)).join('\n')],
    ['t.json', `${rows.map((r) => JSON.stringify(r)).join('\n')}\n`],
  ])('%s', async (name, content) => {
    const folder = await folderWith({ [name]: content }, ['x/1.png', 'x/2.png']);
    const wanted = [
      { qid: 't:1', imageId: 'x/1.png', question: 'Is it a CT?', answer: 'Yes', answerType: 'closed' },
      { qid: 't:2', imageId: 'x/2.png', question: 'Where?', answer: 'left', answerType: 'open' },
      { qid: 't:3', imageId: 'x/2.png', question: 'How many?', answer: '3', answerType: 'open' },
    ].map((q, i) => ({ ...q, set: ['train', 'validation', 'test'][i], patient: ['p1', 'p2', 'p2'][i] }));
    for (const path of [folder, join(folder, name)]) {
      const { questions, notes, imagePath } = await openDataset(path, options);
      expect(questions).toEqual(wanted);
      expect(notes[0]).toBe(
        'columns: image = file, question = question, answer = answer, split = fold, patient = who',
      );
      expect(imagePath('x/1.png')).toBe(join(folder, 'x/1.png'));
    }
  });

  test('a table a split, images in a folder of their own, names without endings', async () => {
    const table = (name: string) => `image,question,answer\n${name},Why?,so\n`;
    const files = { 'train.csv': table('a'), 'my_val.csv': table('b'), 'test.csv': table('c') };
    const folder = await folderWith(files, ['images/a.jpg', 'images/b.png', 'images/c.tiff']);
    const { questions, imagePath } = await openDataset(folder);
    expect(Object.fromEntries(questions.map((q) => [q.imageId, q.set]))).toEqual({
      a: 'train',
      b: 'validation',
      c: 'test',
    });
    expect(imagePath('c')).toBe(join(folder, 'images', 'c.tiff'));
  });

  test("PMC-VQA's two forms: the answer's text, or the letter of a choice", async () => {
    const choices = 'Choice A,Choice B,Choice C,Choice D';
    const given = ' A:Lung, B:Focal uptake , C:None , D:Other';
    const folder = await folderWith(
      {
        'one.csv': `Figure_path,Question,Answer,${choices},Answer_label\nP1.jpg,What?,Focal uptake,${given},B\n`,
        'two.csv': `index,Figure_path,Caption,Question,${choices},Answer,split\n7,P1.jpg,c,What?,${given},B,train\n`,
      },
      ['P1.jpg'],
    );
    for (const file of ['one.csv', 'two.csv']) {
      const { questions } = await openDataset(join(folder, file));
      expect(questions[0]).toMatchObject({ imageId: 'P1.jpg', question: 'What?', answer: 'Focal uptake' });
    }
  });

  test('Windows paths, and absolute ones below --image-root', async () => {
    const folder = await folderWith({ 't.jsonl': '' }, ['x/1.png', 'x/2.png']);
    const row = (image: string) => `${JSON.stringify({ image, question: 'q', answer: 'a' })}\n`;
    writeFileSync(join(folder, 't.jsonl'), row('.\\x\\1.png') + row(join(folder, 'x', '2.png')));
    const { questions } = await openDataset(folder, { imageRoot: folder });
    expect(questions.map((q) => q.imageId)).toEqual(['x/1.png', 'x/2.png']);
  });

  test('--language chooses rows, and says how many it leaves out', async () => {
    const folder = await folderWith(
      { 't.csv': 'image,question,answer,q_lang\n1.png,q,a,en\n1.png,问,答,zh\n' },
      ['1.png'],
    );
    const { questions, notes } = await openDataset(folder, { language: 'zh' });
    expect(questions).toMatchObject([{ question: '问' }]);
    expect(notes).toContain('1 rows in other languages than zh are left out');
    expect((await openDataset(folder)).questions).toHaveLength(2);
  });

  test('dataset.json names the columns; flags win', async () => {
    const settings = JSON.stringify({ name: 'ours', licence: 'own', questionCol: 'b', imageRoot: 'pics' });
    const files = { 't.csv': 'image,a,b,answer\n1.png,what?,why?,so\n', 'dataset.json': settings };
    const folder = await folderWith(files, ['pics/1.png']);
    expect(await openDataset(folder)).toMatchObject({
      name: 'ours',
      licence: 'own',
      questions: [{ question: 'why?' }],
    });
    expect((await openDataset(folder, { questionCol: 'a' })).questions[0]!.question).toBe('what?');
    writeFileSync(join(folder, 'dataset.json'), '{"questionColumn": "b"}');
    await expect(openDataset(folder)).rejects.toThrow(/questionColumn[\s\S]*dataset\.json\n/);
  });
});

describe('bad rows', () => {
  const csv = [
    'image,question,answer,split',
    '1.png,Is it?,yes,train',
    ',Is it?,yes,train',
    '1.png,,yes,train',
    '1.png,Is it?,  ,train',
    '1.png,Is it?,yes,sometimes',
    '1.png,Is it?,yes',
    '../1.png,Is it?,yes,train',
    '1.png,"two\nlines",yes,test',
    'gone.png,Is it?,yes,test',
  ].join('\n');

  test('each is named with its line and reason; with --skip-bad they are left out and listed', async () => {
    const folder = await folderWith({ 't.csv': csv }, ['1.png']);
    const file = join(folder, 't.csv');
    const { questions, skipped, notes } = await openDataset(file, { skipBad: true });
    expect(questions.map((q) => q.question)).toEqual(['Is it?', 'two lines']);
    expect(skipped.map((row) => `${placeOf(row).replace(folder, '')}: ${row.reason}`)).toEqual([
      '/t.csv:3: imageId: a path below the image folder is expected, with / between folders',
      '/t.csv:4: question: is empty',
      '/t.csv:5: answer: is empty',
      "/t.csv:6: split: 'sometimes' is none of train, validation, test",
      '/t.csv:7: 3 cells, but the header names 4 columns',
      '/t.csv:8: imageId: no . or .. may be in a path',
      `/t.csv:11: image gone.png is not in ${folder}`,
    ]);
    expect(notes.slice(-8)).toMatchObject([
      expect.stringMatching(/left out.*: 7$/),
      ...skipped.map((row) => `  ${placeOf(row)}: ${row.reason}`),
    ]);
  });

  test('ten are named at most, all are counted', async () => {
    const rows = Array.from({ length: 30 }, (_, i) => `1.png,,${i}`).join('\n');
    const folder = await folderWith({ 't.csv': `image,question,answer\n${rows}\n` }, ['1.png']);
    const message = await openDataset(folder).then(
      () => '',
      (error: Error) => error.message,
    );
    expect(message.match(/t\.csv:\d+: question: is empty/g)).toHaveLength(10);
    expect(message).toMatch(/^30 rows cannot be used:[\s\S]*\n {2}and 20 more\n {2}where: .*\n.*--skip-bad/);
  });

  test('the same id twice', async () => {
    const folder = await folderWith({ 't.csv': 'id,image,question,answer\n1,1.png,a,b\n1,1.png,c,d\n' }, [
      '1.png',
    ]);
    await expect(openDataset(folder)).rejects.toThrow(/t\.csv:3: qid 1 stands in an earlier row, too/);
  });

  test.each([
    ['{"image":"1.png","question":"q","answer":"a"}\n[1]\n', /t\.jsonl:2: the row is no object/],
    ['{"image":"1.png","question":"q","answer":"a"}\n\n{"image":\n', /t\.jsonl:3: the line is not JSON/],
    ['{"image":"1.png","question":["q"],"answer":"a"}\n', /t\.jsonl:1: question: /],
    ['{"image":"1.png","question":"q","answer":{"x":1}}\n', /t\.jsonl:1: answer: /],
  ])('JSONL %j', async (content, message) => {
    const folder = await folderWith({ 't.jsonl': content }, ['1.png']);
    await expect(openDataset(folder)).rejects.toThrow(message);
  });

  test('the lines of a JSON list are those of its elements', () => {
    const list = [{ a: '[{"', b: [1, { c: '\\"' }] }, {}, [2, 3], 'x,y', null, 5];
    const pretty = JSON.stringify(list, null, 2);
    const starts = pretty.split('\n').flatMap((line, i) => (/^ {2}[^ }\]]/.test(line) ? [i + 1] : []));
    expect(elementLines(pretty)).toEqual(starts);
    expect(elementLines(JSON.stringify(list))).toEqual(list.map(() => 1));
    expect(elementLines('[]')).toEqual([]);
  });
});

describe('files that are no data set', () => {
  const table = 'image,question,answer\n1.png,q,a\n';
  test.each<[string, Record<string, string>, Record<string, unknown>, RegExp]>([
    [
      'an unknown column',
      { 't.csv': 'file,q,a\n' },
      { questionCol: 'frage' },
      /^no column 'frage'\n.*t\.csv\n.*--question-col from file, q, a$/,
    ],
    [
      'a column nobody would guess',
      { 't.csv': 'file,question,befund\n' },
      {},
      /^no column looks like the answer\n.*t\.csv\n.*--answer-col: file, question, befund$/,
    ],
    ['an empty file', { 't.csv': '' }, {}, /^the file is empty\n.*t\.csv\n/],
    ['a header alone', { 't.csv': 'image,question,answer\n' }, {}, /^no row is left\n/],
    ['blank lines', { 't.csv': '\n\n' }, {}, /^the file has no header\n/],
    ['two columns of one name', { 't.csv': 'a,a\n1,2\n' }, {}, /^two columns are named 'a'\n.*t\.csv:1\n/],
    ['an empty folder', { 'notes.txt': 'x' }, {}, /^the folder holds no table\n.*\n.*\.csv, \.tsv/],
    ['two tables', { 'a.csv': table, 'b.csv': table }, {}, /^the folder holds 2 tables: a\.csv, b\.csv\n/],
    [
      'an open quotation mark',
      { 't.csv': `${table}1.png,"q,a\n` },
      {},
      /t\.csv:3: a quotation mark is opened/,
    ],
    ['a damaged list', { 't.json': '[{"image":1},' }, {}, /^damaged or truncated JSON of 13 characters/],
    ['a number', { 't.json': '12' }, {}, /^the file is no list of rows\n.*t\.json\n.*JSONL/],
    [
      'an object with lists',
      { 't.json': '{"train": [{"image": "1.png"}]}' },
      {},
      /^the file is no list of rows\n/,
    ],
    [
      'a damaged Parquet',
      { 't.parquet': 'PAR1 no PAR1' },
      {},
      /^the Parquet file cannot be read: .*\n.*t\.parquet\n/,
    ],
    [
      'a language it does not tell',
      { 't.csv': table },
      { language: 'en' },
      /^no column says the language\n.*--language\n.*image, question, answer$/,
    ],
  ])('%s', async (_, files, options, message) => {
    const folder = await folderWith(files, ['1.png']);
    await expect(openDataset(folder, options)).rejects.toThrow(message);
    await expect(openDataset(folder, options)).rejects.toThrow(
      /^.+(\n {2}\S+:\d+: .*)*\n {2}where: .+\n {2}to do: .+$/,
    );
  });

  test('a name that is nothing', () =>
    expect(openDataset('vqarad')).rejects.toThrow(
      /^unknown data set 'vqarad'\n.*--data\n.*choose from vqa-rad/,
    ));
  test('a file that is no table', async () => {
    const folder = await folderWith({ 'a.docx': 'x' });
    await expect(openDataset(join(folder, 'a.docx'))).rejects.toThrow(
      /^the file is no table\n.*a\.docx\n.*\.csv/,
    );
  });
});
