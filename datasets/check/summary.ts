/** @file What a data set holds, in numbers. Pure. */
import type { Question } from '../dataset.js';
import { majorityBaseline } from '../scoring/majority.js';
import { isSameAnswer, isYesNo, normaliseAnswer } from '../scoring/normalise-answer.js';
import type { VqaTokenizer } from '../tokenizer.js';
import { type PartName, type Parts, partNames, tally } from './parts.js';

/** WordPiece's token for what it has no pieces for. */
const UNKNOWN = 100;

export interface TextFacts {
  /** questions longer than the limit, in tokens with [ENC] and [SEP]; of several wordings the longest counts */
  readonly questionsCut: number;
  readonly answersCut: number;
  /** share of all tokens of questions and answers */
  readonly unknownShare: number;
  /** the longest, in tokens */
  readonly longestQuestion: number;
  readonly longestAnswer: number;
}

export interface TokenLimits {
  readonly question: number;
  readonly answer: number;
}

/** Longer texts are counted as this many tokens. */
const LONGEST = 512;
const REMEMBERED = 50_000;

/** Counts of a text's tokens; those of texts that come again are remembered, up to a limit of memory. */
function counter(encode: (text: string) => readonly number[]) {
  const known = new Map<string, { length: number; unknown: number }>();
  return (text: string) => {
    let counts = known.get(text);
    if (!counts) {
      const ids = encode(text);
      counts = { length: ids.length, unknown: ids.filter((id) => id === UNKNOWN).length };
      if (known.size < REMEMBERED) known.set(text, counts);
    }
    return counts;
  };
}

export function textFacts(
  questions: readonly Question[],
  tokenizer: VqaTokenizer,
  limits: TokenLimits,
): TextFacts {
  const facts = { questionsCut: 0, answersCut: 0, longestQuestion: 0, longestAnswer: 0 };
  let [tokens, unknown] = [0, 0];
  const lengthOf = counter((text) => tokenizer.encodeAnswer(text, LONGEST).ids);
  for (const { question, wordings, answer } of questions) {
    // as the tokenizer takes it: the placeholder of instruction data is no text
    const forms = (wordings ?? [question]).map((form) => lengthOf(form.replaceAll('<image>', ' ').trim()));
    const a = lengthOf(answer);
    for (const counts of [...forms, a]) {
      tokens += counts.length - 2; // without the start token and [SEP]
      unknown += counts.unknown;
    }
    const longest = Math.max(...forms.map((form) => form.length));
    facts.questionsCut += Number(longest > limits.question);
    facts.answersCut += Number(a.length > limits.answer);
    facts.longestQuestion = Math.max(facts.longestQuestion, longest);
    facts.longestAnswer = Math.max(facts.longestAnswer, a.length);
  }
  return { ...facts, unknownShare: tokens > 0 ? unknown / tokens : 0 };
}

export interface PartSummary {
  readonly questions: number;
  readonly images: number;
  readonly patients: number;
  readonly closed: number;
  readonly open: number;
  readonly yes: number;
  readonly no: number;
}

export type Column = 'organ' | 'modality' | 'questionType';

export interface Summary {
  readonly parts: Readonly<Record<PartName, PartSummary>>;
  /** rows in no part, e.g. VQA-RAD's templated ones */
  readonly inNoPart: number;
  /** values with their counts over all rows, by column; of columns that the set has */
  readonly columns: Readonly<Partial<Record<Column, readonly [string, number][]>>>;
  readonly distinctAnswers: number;
  readonly distinctQuestions: number;
  /** what training's most frequent answers score without looking: fractions; NaN without such questions */
  readonly majority: {
    /** scored on these: training's own where there is no test */
    readonly on: PartName;
    readonly yesNoAnswer: string;
    readonly yesNo: number;
    readonly anyAnswer: string;
    readonly all: number;
  };
}

function summaryOf(rows: readonly Question[]): PartSummary {
  const distinct = (values: (string | undefined)[]) => new Set(values.filter((v) => v !== undefined)).size;
  const saying = (answer: string) => rows.filter((q) => normaliseAnswer(q.answer) === answer).length;
  return {
    questions: rows.length,
    images: distinct(rows.map((q) => q.imageId)),
    patients: distinct(rows.map((q) => q.patient)),
    closed: rows.filter((q) => q.answerType === 'closed').length,
    open: rows.filter((q) => q.answerType === 'open').length,
    yes: saying('yes'),
    no: saying('no'),
  };
}

/** The most frequent answer of training, on all questions of a part. */
function anyMajority(train: readonly Question[], scored: readonly Question[]) {
  const [[anyAnswer] = ['']] = tally(train.map((q) => normaliseAnswer(q.answer)));
  return { anyAnswer, all: scored.filter((q) => isSameAnswer(q.answer, anyAnswer)).length / scored.length };
}

export function summarise(questions: readonly Question[], parts: Parts): Summary {
  const values = (column: Column) => questions.map((q) => q[column]).filter((v) => v !== undefined);
  const columns = (['organ', 'modality', 'questionType'] as const)
    .map((column) => [column, tally(values(column))] as const)
    .filter(([, counts]) => counts.length > 0);
  const on = parts.test.length > 0 ? 'test' : 'train';
  const asked = parts[on].filter((q) => isYesNo(q.answer));
  const { answer } = majorityBaseline(parts.train, []);
  return {
    parts: Object.fromEntries(partNames.map((name) => [name, summaryOf(parts[name])])) as Summary['parts'],
    inNoPart: questions.length - partNames.reduce((n, name) => n + parts[name].length, 0),
    columns: Object.fromEntries(columns),
    distinctAnswers: new Set(questions.map((q) => normaliseAnswer(q.answer))).size,
    distinctQuestions: new Set(questions.map((q) => q.question.toLowerCase())).size,
    majority: {
      on,
      yesNoAnswer: answer,
      yesNo: asked.filter((q) => isSameAnswer(q.answer, answer)).length / asked.length,
      ...anyMajority(parts.train, parts[on]),
    },
  };
}
