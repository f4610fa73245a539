/** @file Instruction data: their form, where wrong answers come from, and reading them back. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import type { Question } from '../../../datasets/dataset.js';
import { instruct } from '../../../datasets/instruct/build.js';
import { attributeOf } from '../../../datasets/instruct/rules.js';
import {
  closedTemplates,
  lettered,
  openTemplates,
  questionOf,
} from '../../../datasets/instruct/templates.js';
import { openDataset } from '../../../datasets/open-dataset.js';
import { isYesNo, normaliseAnswer } from '../../../datasets/scoring/normalise-answer.js';
import { loadSplit } from '../../../datasets/split-file.js';
import { loadVqaRad } from '../../../datasets/vqa-rad.js';

const scratch = mkdtempSync(join(tmpdir(), 'instruct-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const rad = loadVqaRad();
const { train, test: tested } = loadSplit(rad, 'official');
const pick = (qids: readonly string[]) => {
  const wanted = new Set(qids);
  return rad.questions.filter((q) => wanted.has(q.qid));
};
const options = { options: 4, seed: 0 };
const { rows, attributes, yesNo } = instruct(pick(train), options);
const byQid = new Map(rad.questions.map((q) => [q.qid, q]));

/** The options of a form: '(a)Yes; (b)No' → ['Yes', 'No']. */
const optionsIn = (form: string): string[] =>
  (/Option:\{(.*)\}/.exec(form)?.[1] ?? '').split(/; (?=\([a-z]\))/).map((option) => option.slice(3));

describe('VQA-RAD in instruction format', () => {
  test('has the published shape: a row a training question, 6 forms of yes/no and 5 of others', () => {
    expect(rows).toHaveLength(train.length);
    for (const row of rows) {
      expect(Object.keys(row)).toEqual(['img_name', 'qid', 'answer', 'question_pool']);
      expect(typeof row.qid).toBe('number');
      expect(row.question_pool).toHaveLength(isYesNo(row.answer) ? 6 : 5);
      for (const form of row.question_pool) expect(form.startsWith('<image>')).toBe(true);
    }
    expect(rows.filter((row) => isYesNo(row.answer))).toHaveLength(yesNo);
  });

  test('options hold the right answer once, and wrong ones that none of the image’s answers is', () => {
    for (const { qid, answer, img_name, question_pool } of rows) {
      const choices = optionsIn(question_pool[0]!);
      expect(
        choices.filter((c) => c === answer),
        `${qid}`,
      ).toHaveLength(1);
      expect(choices).toHaveLength(isYesNo(answer) ? 2 : 4);
      expect(new Set(choices.map(normaliseAnswer)).size).toBe(choices.length);
      if (isYesNo(answer)) expect(choices.map(normaliseAnswer).sort()).toEqual(['no', 'yes']);
      const kind = attributeOf(byQid.get(`${qid}`)!);
      const alsoRight = pick(train)
        .filter((q) => q.imageId === img_name && attributeOf(q) === kind && q.answer !== answer)
        .map((q) => normaliseAnswer(q.answer));
      if (!isYesNo(answer) && Number(qid) % 40 === 0)
        for (const wrong of choices.filter((c) => c !== answer))
          expect(alsoRight).not.toContain(normaliseAnswer(wrong));
    }
  });

  test('the right answer stands at each letter about equally often', () => {
    const at = (size: number, keep: (answer: string) => boolean) => {
      const counts = new Array<number>(size).fill(0);
      for (const { answer, question_pool } of rows)
        if (keep(answer)) counts[optionsIn(question_pool[0]!).indexOf(answer)]! += 1;
      return counts;
    };
    // chi-squared, 99.9% quantiles with 1 and 3 degrees of freedom
    for (const [counts, limit] of [
      [at(2, isYesNo), 10.8],
      [at(4, (a) => !isYesNo(a)), 16.3],
    ] as const) {
      const mean = counts.reduce((a, b) => a + b) / counts.length;
      expect(counts.reduce((sum, n) => sum + (n - mean) ** 2 / mean, 0)).toBeLessThan(limit);
    }
  });

  test('no answer comes from validation or test questions', () => {
    const own = new Set(pick(train).map((q) => normaliseAnswer(q.answer)));
    const given = new Set(rows.flatMap((row) => optionsIn(row.question_pool[0]!)).map(normaliseAnswer));
    for (const answer of given) expect(own.has(answer) || isYesNo(answer), answer).toBe(true);
    const onlyTested = pick(tested).filter((q) => !own.has(normaliseAnswer(q.answer)));
    expect(onlyTested.length).toBeGreaterThan(20); // the test could fail
  });

  test('wrong answers are of the same attribute', () => {
    const of = (kind: string) =>
      rows.filter((row) => attributeOf(byQid.get(`${row.qid}`)!) === kind && !isYesNo(row.answer));
    const planes = new Set(of('plane').map((row) => normaliseAnswer(row.answer)));
    for (const row of of('plane'))
      for (const choice of optionsIn(row.question_pool[0]!))
        expect(planes).toContain(normaliseAnswer(choice));
    expect(attributes.get('modality')).toBe(of('modality').length);
  });
});

test('the same seed gives the same rows, another one others; the order of the rows plays no part', () => {
  const some = pick(train).slice(0, 300);
  const plain = instruct(some, options);
  expect(instruct(some, options)).toEqual(plain);
  expect(instruct(some, { ...options, seed: 1 }).rows).not.toEqual(plain.rows);
  const turned = instruct([...some].reverse(), options).rows;
  expect([...turned].reverse()).toEqual(plain.rows);
});

test('as many forms as asked for: of few templates different ones, beyond them with other options', () => {
  const some = pick(train).slice(0, 200);
  const few = instruct(some, { ...options, perQuestion: 2 }).rows;
  expect(few.every((row) => row.question_pool.length === 2 && new Set(row.question_pool).size === 2)).toBe(
    true,
  );
  const many = instruct(some, { ...options, perQuestion: 12 }).rows.filter((row) => !isYesNo(row.answer));
  expect(
    many.some((row) => optionsIn(row.question_pool[0]!).join() !== optionsIn(row.question_pool[5]!).join()),
  ).toBe(true);
});

test('a kind with too few answers is filled up from others, and counted', () => {
  const row = (qid: string, questionType: string, answer: string): Question => ({
    qid,
    imageId: `${qid}.png`,
    question: 'What is it?',
    answer,
    answerType: 'open',
    questionType,
  });
  const made = instruct(
    [
      row('1', 'PLANE', 'axial'),
      row('2', 'PLANE', 'coronal'),
      row('3', 'MODALITY', 'CT'),
      row('4', 'MODALITY', 'CT with contrast'),
      row('5', 'SIZE', 'large'),
    ],
    options,
  );
  expect(made.filled).toBe(5);
  for (const { answer, question_pool } of made.rows) {
    const choices = optionsIn(question_pool[0]!);
    expect(choices).toContain(answer);
    // one says what the other says
    expect(choices.includes('CT') && choices.includes('CT with contrast')).toBe(false);
  }
});

test.each([
  [{ questionType: 'POS, ABN', question: 'What?', answer: 'x' }, 'location'],
  [{ questionType: 'Abnormality', question: 'Where is it?', answer: 'x' }, 'pathology'],
  [{ questionType: 'OTHER', question: 'How many lesions are there?', answer: '2' }, 'count'],
  [{ question: 'Where is the largest mass?', answer: 'left lobe' }, 'location'],
  [{ question: 'In which plane was it taken?', answer: 'axial' }, 'plane'],
  [{ question: 'What kind of scan is this?', answer: 'CT' }, 'modality'],
  [{ question: 'What is it?', answer: '3.4 cm' }, 'size'],
  [{ question: 'What is it?', answer: 'the liver' }, 'organ'],
  [{ question: 'Why?', answer: 'surgery' }, 'other'],
] as const)('%o asks for %s', (row, attribute) => {
  expect(attributeOf({ qid: '1', imageId: 'a.png', answerType: 'open', ...row })).toBe(attribute);
});

test('each template gives its question back', () => {
  const text = fc
    .string({ minLength: 1 })
    .map((t) => t.replace(/[{}]/g, '').trim())
    .filter((t) => t !== '');
  fc.assert(
    fc.property(text, fc.array(text, { minLength: 2, maxLength: 5 }), (question, choices) => {
      for (const template of [...openTemplates, ...closedTemplates])
        expect(questionOf(template(question, lettered(choices)))).toBe(question);
    }),
    { numRuns: 200 },
  );
});

// the forms of the published file's rows, with questions of our own
test.each([
  '<image>Question:{Is it big?}Option:{(a)Yes; (b)No} The answer to the question is:',
  '<image>Question:{Is it big?} Based on the image, give a judgmental answer to the question',
  '<image>Used the provided image to answer the question:{Is it big?}Option:{(a)Yes; (b)No} Provide your ansewer based on the option',
  '<image>What is the answer to the following question?"{Is it big?}"',
  '<image>Is it big?',
])('published form: %s', (form) => {
  expect(questionOf(form)).toBe('Is it big?');
});

describe('as a data set', () => {
  const file = join(scratch, 'instruct.json');
  const write = (content: unknown) => writeFileSync(file, JSON.stringify(content));
  const root = { imageRoot: rad.imagePath('x').slice(0, -2) };

  test('what is written is read back: questions, answers and all forms', async () => {
    write(rows);
    const { questions, notes } = await openDataset(file, root);
    expect(notes.join()).toContain('drawn at each visit');
    expect(questions).toHaveLength(rows.length);
    for (const [i, q] of questions.entries()) {
      const original = byQid.get(q.qid)!;
      expect(q).toMatchObject({
        imageId: original.imageId,
        answer: original.answer,
        question: original.question,
        set: 'train',
      });
      expect(q.wordings).toEqual(rows[i]!.question_pool);
    }
  });

  test('rows that cannot be used are named', async () => {
    write([
      rows[0],
      { ...rows[1], question_pool: [] },
      { ...rows[2], question_pool: 'text' },
      { ...rows[0] },
    ]);
    await expect(openDataset(file, root)).rejects.toThrow(
      /3 rows cannot be used.*question.*qid 1 stands in an earlier row/s,
    );
  });
});
