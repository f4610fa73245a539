import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type DrawOptions, drawParts, splitKeys } from '../../../datasets/check/draw-parts.js';
import { leakage } from '../../../datasets/check/findings.js';
import { partsOf } from '../../../datasets/check/parts.js';
import type { Question } from '../../../datasets/dataset.js';
import { shuffled } from '../../../datasets/random.js';
import { wordsOf } from '../../../datasets/split.js';
import { loadVqaRad } from '../../../datasets/vqa-rad.js';

const some = fc.array(
  fc.record({
    image: fc.nat(30),
    patient: fc.nat(12),
    question: fc.constantFrom('Is it?', 'is it', 'Where?', 'How many?', 'Why so?', 'Which plane?'),
    organ: fc.constantFrom('HEAD', 'CHEST', undefined),
  }),
  { maxLength: 150 },
);
type Row = { image: number; patient: number; question: string; organ: string | undefined };
const toQuestions = (rows: Row[]): Question[] =>
  rows.map(({ image, patient, question, organ }, i) => ({
    qid: `${i}`,
    imageId: `${image}`,
    question,
    answer: 'x',
    answerType: 'open',
    patient: `p${patient}`,
    ...(organ && { organ }),
  }));

test.each(splitKeys)('by %s: every row is in one part, and no two parts share one', (by) => {
  fc.assert(
    fc.property(some, fc.nat(5), fc.array(fc.tuple(fc.nat(30), fc.nat(30))), (rows, seed, pairs) => {
      const questions = toQuestions(rows);
      const copies = pairs.map(([a, b]) => [`${a}`, `${b}`]);
      const options: DrawOptions = { by, seed, test: 0.25, validation: 0.15, copies };
      const lists = drawParts(questions, options);
      const all = [...lists.train, ...lists.validation, ...lists.test];
      expect([...all].sort()).toEqual(questions.map((q) => q.qid).sort());
      const parts = partsOf(questions, lists);
      const partOf = (key: (q: Question) => string) => {
        const found = new Map<string, string>();
        for (const [name, part] of Object.entries(parts))
          for (const q of part as Question[]) {
            const before = found.get(key(q));
            expect(before === undefined || before === name, `${key(q)} in ${before} and ${name}`).toBe(true);
            found.set(key(q), name);
          }
        return found;
      };
      if (by === 'question') partOf((q) => wordsOf(q.question));
      if (by === 'patient') partOf((q) => q.patient!);
      if (by !== 'question') {
        const images = partOf((q) => q.imageId);
        for (const [a, b] of copies)
          if (images.has(a!) && images.has(b!)) expect(images.get(a!)).toBe(images.get(b!));
      }
      expect(drawParts(shuffled(questions, 'order'), options)).toEqual(lists);
    }),
    { numRuns: 60 },
  );
});

test('VQA-RAD by image: the shares of each organ, no leak, another seed other images', () => {
  const { questions } = loadVqaRad();
  const rows = questions.filter((q) => q.phraseType !== 'frame');
  const options: DrawOptions = { by: 'image', seed: 0, test: 0.2, validation: 0.1, copies: [] };
  const lists = drawParts(rows, options);
  for (const organ of ['CHEST', 'ABD', 'HEAD']) {
    const share = (qids: readonly string[]) => {
      const of = new Set(qids);
      const mine = rows.filter((q) => q.organ === organ);
      return mine.filter((q) => of.has(q.qid)).length / mine.length;
    };
    expect(Math.abs(share(lists.test) - 0.2), organ).toBeLessThan(0.015);
    expect(Math.abs(share(lists.validation) - 0.1), organ).toBeLessThan(0.015);
  }
  expect(leakage(partsOf(rows, lists))).toEqual([]);
  const other = new Set(drawParts(rows, { ...options, seed: 1 }).test);
  expect(lists.test.filter((qid) => other.has(qid)).length).toBeLessThan(lists.test.length / 2);
});
