/** @file What may spoil a score, or should not leave the house: found in rows, images and names. Pure. */
import type { BadRow, Question } from '../dataset.js';
import { placeOf } from '../dataset.js';
import { isYesNo, normaliseAnswer } from '../scoring/normalise-answer.js';
import { wordingOf } from '../split.js';
import { identifierIn, shapeOf } from './identifiers.js';
import { byteCopies, Groups, type ImageFacts, pictureCopies } from './image-facts.js';
import { type Parts, partNames } from './parts.js';
import type { TextFacts } from './summary.js';

export interface Finding {
  readonly name: string;
  readonly count: number;
  readonly says: string;
  /** the first few */
  readonly examples: readonly string[];
}

const EXAMPLES = 5;
/** Share of the more frequent of yes and no above which a score of yes/no questions says little. */
const ONE_SIDED = 0.75;
/** Share of unknown tokens above which the vocabulary does not fit the language. */
const MANY_UNKNOWN = 0.01;

const finding = (name: string, says: string, all: readonly string[], count = all.length): Finding[] =>
  count > 0 ? [{ name, count, says, examples: all.slice(0, EXAMPLES) }] : [];

function groupBy(rows: readonly Question[], key: (q: Question) => string): Map<string, Question[]> {
  const groups = new Map<string, Question[]>();
  for (const row of rows) {
    const group = groups.get(key(row));
    if (group) group.push(row);
    else groups.set(key(row), [row]);
  }
  return groups;
}

/** Image, wording and answer. */
const tripletOf = (q: Question) => `${wordingOf(q)}\n${normaliseAnswer(q.answer)}`;

const shown = (rows: readonly Question[]) =>
  `${rows.map((q) => q.qid).join(', ')}: ${rows[0]!.imageId} '${rows[0]!.question}' ${rows
    .map((q) => `'${q.answer}'`)
    .filter((answer, i, all) => all.indexOf(answer) === i)
    .join(' / ')}`;

/** What is used to choose weights: training and validation. */
const learnt = ({ train, validation }: Parts) => [...train, ...validation];

export function duplicates(parts: Parts): Finding[] {
  const again = (rows: readonly Question[]) =>
    [...groupBy(rows, tripletOf).values()].filter((group) => group.length > 1);
  const count = (groups: Question[][]) => groups.reduce((n, group) => n + group.length - 1, 0);
  const [inTraining, inTest] = [again(learnt(parts)), again(parts.test)];
  const known = groupBy(learnt(parts), tripletOf);
  const both = parts.test.filter((q) => known.has(tripletOf(q)));
  return [
    ...finding(
      'duplicates in training',
      'questions repeat an earlier one with image and answer (case, blanks and punctuation aside)',
      inTraining.map(shown),
      count(inTraining),
    ),
    ...finding(
      'duplicates in test',
      'questions repeat an earlier one with image and answer',
      inTest.map(shown),
      count(inTest),
    ),
    ...finding(
      'test questions in training',
      'test questions are in training or validation with the same image and answer',
      both.map((q) => shown([...known.get(tripletOf(q))!, q])),
    ),
  ];
}

export function contradictions(parts: Parts): Finding[] {
  const rows = partNames.flatMap((name) => parts[name]);
  const groups = [...groupBy(rows, wordingOf).values()].filter(
    (group) => new Set(group.map((q) => normaliseAnswer(q.answer))).size > 1,
  );
  return finding(
    'contradictory answers',
    'questions are asked of the same image more than once and answered differently',
    groups.map(shown),
  );
}

/** Values of `key` in both of two lists of rows. */
function shared(a: readonly Question[], b: readonly Question[], key: (q: Question) => string | undefined) {
  const known = new Set(a.map(key));
  return [...new Set(b.map(key))].filter((value) => value !== undefined && known.has(value)) as string[];
}

const imageOf = (q: Question) => q.imageId;
const countOf = (rows: readonly Question[], key: (q: Question) => string | undefined) =>
  new Set(rows.map(key).filter((value) => value !== undefined)).size;

/** What is in training and again in test or validation. */
export function leakage(parts: Parts): Finding[] {
  const pairs = [
    { part: 'test', from: 'training or validation', known: learnt(parts), rows: parts.test },
    { part: 'validation', from: 'training', known: parts.train, rows: parts.validation },
  ] as const;
  return pairs.flatMap(({ part, from, known, rows }) => [
    ...finding(
      `${part} images in training`,
      `of ${countOf(rows, imageOf)} ${part} images are also in ${from}: scores say nothing about unseen images`,
      shared(known, rows, imageOf),
    ),
    ...finding(
      `${part} patients in training`,
      `of ${countOf(rows, (q) => q.patient)} patients in ${part} are also in ${from}`,
      // a pseudonym may be none
      shared(known, rows, (q) => q.patient).map(shapeOf),
    ),
    ...finding(
      `${part} wordings in training`,
      `questions of ${part} are asked of the same image in ${from} (case, blanks and punctuation aside)`,
      shared(known, rows, wordingOf),
    ),
  ]);
}

/** The same picture under two names, in both of test and training, or within the set. */
export function imageCopies(parts: Parts, facts: ImageFacts): Finding[] {
  const inTest = new Set(parts.test.map(imageOf));
  const inTraining = new Set(learnt(parts).map(imageOf));
  const crosses = (ids: readonly string[]) =>
    ids.some((id) => inTest.has(id)) && ids.some((id) => inTraining.has(id) && !inTest.has(id));
  const bytes = byteCopies(facts);
  const sameBytes = new Groups();
  for (const [first, ...rest] of bytes) for (const id of rest) sameBytes.join(first!, id);
  const alike = pictureCopies(facts).filter(([a, b]) => sameBytes.find(a) !== sameBytes.find(b));
  const names = (ids: readonly string[]) => ids.join(' = ');
  return [
    ...finding('equal image files', 'images have several names: the files are equal', bytes.map(names)),
    ...finding(
      'equal files across parts',
      'images of test have a copy under another name in training or validation',
      bytes.filter(crosses).map(names),
    ),
    ...finding(
      'images that look the same',
      'pairs of images are copies of each other, encoded or scaled anew (hash within 6 of 64 bits, correlation 0.98)',
      alike.map(names),
    ),
    ...finding(
      'lookalikes across parts',
      'of these pairs are in both of test and training',
      alike.filter(crosses).map(names),
    ),
    ...finding(
      'unreadable images',
      'images cannot be decoded',
      facts.unreadable.map(({ imageId, reason }) => `${imageId}: ${reason.split('\n')[0]}`),
    ),
  ];
}

/** Examples show the shape of a name only. */
export function identifiers(questions: readonly Question[]): Finding[] {
  const found: string[] = [];
  for (const id of new Set(questions.map(imageOf))) {
    const reason = identifierIn(id);
    if (reason) found.push(`${shapeOf(id)} (${reason})`);
  }
  return finding(
    'names like identifiers',
    'image names look as if they named a patient (letters shown as x, digits as 9): rename the files',
    found,
  );
}

export function texts(facts: TextFacts, limits: { question: number; answer: number }): Finding[] {
  const percent = `${(100 * facts.unknownShare).toFixed(1)}%`;
  return [
    ...finding(
      'questions cut',
      `questions are longer than ${limits.question} tokens (the longest ${facts.longestQuestion}): build-graph --max-question-tokens`,
      [],
      facts.questionsCut,
    ),
    ...finding(
      'answers cut',
      `answers are longer than the decoder takes, ${limits.answer} tokens (the longest ${facts.longestAnswer}): they cannot be learned whole`,
      [],
      facts.answersCut,
    ),
    ...finding(
      'unknown tokens',
      `${percent} of the tokens are unknown: the vocabulary is English`,
      [],
      Number(facts.unknownShare > MANY_UNKNOWN),
    ),
  ];
}

export function balance(parts: Parts): Finding[] {
  return partNames.flatMap((name) => {
    const asked = parts[name].filter((q) => isYesNo(q.answer));
    const yes = asked.filter((q) => normaliseAnswer(q.answer) === 'yes').length;
    const share = Math.max(yes, asked.length - yes) / asked.length;
    const answer = 2 * yes > asked.length ? 'yes' : 'no';
    return finding(
      `one-sided yes/no in ${name}`,
      `${(100 * share).toFixed(0)}% of ${asked.length} yes/no questions are answered ${answer}`,
      [],
      Number(share > ONE_SIDED),
    );
  });
}

export const emptyParts = (parts: Parts): Finding[] =>
  partNames.flatMap((name) =>
    finding(`no ${name} questions`, 'the part is empty', [], Number(parts[name].length === 0)),
  );

export const leftOut = (skipped: readonly BadRow[]): Finding[] =>
  finding(
    'rows left out',
    'rows cannot be used',
    skipped.map((row) => `${placeOf(row)}: ${row.reason}`),
  );
