/** @file What may spoil a score, or should not leave the house: found in rows, images and names. Pure. */
import type { BadRow, Question } from '../dataset.js';
import { placeOf } from '../dataset.js';
import { NEAR_BITS, NEAR_CORRELATION } from '../images/perceptual-hash.js';
import { isYesNo, normaliseAnswer } from '../scoring/normalise-answer.js';
import { wordingOf } from '../split.js';
import { identifierIn, safeName, shapeOf } from './identifiers.js';
import { byteCopies, Groups, type ImageFacts, pictureCopies } from './image-facts.js';
import { type Parts, partNames } from './parts.js';
import type { TextFacts } from './summary.js';

export interface Finding {
  readonly name: string;
  readonly count: number;
  readonly says: string;
  readonly examples: readonly string[];
}

/** Share of the more frequent of yes and no above which a score of yes/no questions says little. */
const ONE_SIDED = 0.75;
/** Share of unknown tokens above which the vocabulary does not fit the language. */
const MANY_UNKNOWN = 0.01;

const finding = (
  name: string,
  says: string,
  examples: readonly string[],
  count = examples.length,
): Finding[] => (count > 0 ? [{ name, count, says, examples }] : []);

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
  `${rows.map((q) => q.qid).join(', ')}: ${safeName(rows[0]!.imageId)} '${rows[0]!.question}' ${rows
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
      'the same image, question and answer as an earlier row, case, blanks and punctuation aside',
      inTraining.map(shown),
      count(inTraining),
    ),
    ...finding(
      'duplicates in test',
      'the same image, question and answer as an earlier row',
      inTest.map(shown),
      count(inTest),
    ),
    ...finding(
      'test questions in training',
      'test rows that are in training or validation with the same image, question and answer',
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
    'one question about one image, answered differently',
    groups.map(shown),
  );
}

/** Values of `key` in both of two lists of rows. */
function shared(a: readonly Question[], b: readonly Question[], key: (q: Question) => string | undefined) {
  const known = new Set(a.map(key));
  return [...new Set(b.map(key))].filter((value) => value !== undefined && known.has(value)) as string[];
}

/** Rows of `rows` whose image and wording are in `known`, with those. */
function wordingsIn(known: readonly Question[], rows: readonly Question[]): string[] {
  const before = groupBy(known, wordingOf);
  return rows.flatMap((q) => {
    const same = before.get(wordingOf(q));
    return same ? [shown([...same, q])] : [];
  });
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
      `of the ${countOf(rows, imageOf)} images in ${part}, so many are also in ${from}: scores say nothing about unseen images`,
      shared(known, rows, imageOf).map(safeName),
    ),
    ...finding(
      `${part} patients in training`,
      `of the ${countOf(rows, (q) => q.patient)} patients in ${part}, so many are also in ${from}`,
      // a pseudonym may be none
      shared(known, rows, (q) => q.patient).map(shapeOf),
    ),
    ...finding(
      `${part} wordings in training`,
      `${part} asks what ${from} asks of the same image, case, blanks and punctuation aside`,
      wordingsIn(known, rows),
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
  const names = (ids: readonly string[]) => ids.map(safeName).join(' = ');
  return [
    ...finding('equal image files', 'one file under several names', bytes.map(names)),
    ...finding(
      'equal files across parts',
      'a test image has a copy under another name in training or validation',
      bytes.filter(crosses).map(names),
    ),
    ...finding(
      'images that look the same',
      `one picture, encoded or scaled anew: perceptual hashes within ${NEAR_BITS} of 64 bits, correlation ${NEAR_CORRELATION} or more`,
      alike.map(names),
    ),
    ...finding(
      'lookalikes across parts',
      'of these pairs, one in test and one in training or validation',
      alike.filter(crosses).map(names),
    ),
    ...finding(
      'unreadable images',
      'files that cannot be decoded',
      facts.unreadable.map(({ imageId, reason }) => `${safeName(imageId)}: ${reason.split('\n')[0]}`),
    ),
  ];
}

/** DICOM files that say, or are of a kind that often has it, that text about the patient is in the pixels. */
export const textInPixels = ({ images }: ImageFacts): Finding[] =>
  finding(
    'text about patients in the pixels',
    'look at these images, and blank what identifies: no tool here does it',
    [...images].flatMap(([id, { notes = [] }]) => notes.map((note) => `${safeName(id)}: ${note}`)),
  );

/** Examples show the shape of a name only. */
export function identifiers(questions: readonly Question[]): Finding[] {
  const found: string[] = [];
  for (const id of new Set(questions.map(imageOf))) {
    const reason = identifierIn(id);
    if (reason) found.push(`${shapeOf(id)} (${reason})`);
  }
  return finding(
    'names like identifiers',
    'names as if of a patient, letters shown as x and digits as 9: rename the files',
    found,
  );
}

export function texts(facts: TextFacts, limits: { question: number; answer: number }): Finding[] {
  const percent = `${(100 * facts.unknownShare).toFixed(1)}%`;
  return [
    ...finding(
      'questions cut',
      `longer than ${limits.question} tokens, the longest ${facts.longestQuestion}: build-graph --max-question-tokens`,
      [],
      facts.questionsCut,
    ),
    ...finding(
      'answers cut',
      `longer than the decoder takes, ${limits.answer} tokens, the longest ${facts.longestAnswer}: they cannot be learned whole`,
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
    'they cannot be used',
    skipped.map((row) => `${placeOf(row)}: ${row.reason}`),
  );
