/** @file Questions in instruction format: templates, and options from the answers to questions of the same kind. */
import type { Question } from '../dataset.js';
import { shuffled, uniform } from '../random.js';
import { isYesNo, normaliseAnswer } from '../scoring/normalise-answer.js';
import { type Attribute, attributeOf } from './rules.js';
import { closedTemplates, lettered, openTemplates } from './templates.js';

/** A row as the authors publish it. */
export interface InstructionRow {
  readonly img_name: string;
  readonly qid: number | string;
  readonly answer: string;
  readonly question_pool: readonly string[];
}

export interface InstructOptions {
  /** forms of a question; undefined: one of each template */
  readonly perQuestion?: number;
  /** choices of a question that is not of yes or no, the right one included */
  readonly options: number;
  readonly seed: number;
}

export interface Instructed {
  readonly rows: readonly InstructionRow[];
  /** questions by what they ask for, yes/no ones aside */
  readonly attributes: ReadonlyMap<Attribute, number>;
  readonly yesNo: number;
  /** questions whose kind had too few other answers: options of other kinds fill up */
  readonly filled: number;
}

interface Answer {
  readonly text: string;
  readonly norm: string;
  readonly words: readonly string[];
}

function toAnswer(text: string): Answer {
  const norm = normaliseAnswer(text);
  return { text, norm, words: norm.split(/[^\p{L}\p{N}]+/u).filter(Boolean) };
}

/** One says all that the other says: "CT" is not wrong where "CT with contrast" is right. */
function overlaps({ words: x }: Answer, { words: y }: Answer): boolean {
  const [few, many] = x.length <= y.length ? [x, y] : [y, x];
  return few.every((word) => many.includes(word));
}

type Words = readonly (number | string)[];

/** Answers by attribute, each once, in an order that does not depend on that of the rows. */
class Pools {
  private readonly byAttribute: ReadonlyMap<Attribute, readonly Answer[]>;
  /** answers of an attribute that the questions about an image have */
  private readonly byImage = new Map<string, Set<string>>();

  constructor(questions: readonly Question[]) {
    const pools = new Map<Attribute, Map<string, Answer>>();
    for (const question of questions.filter((q) => !isYesNo(q.answer))) {
      const attribute = attributeOf(question);
      const answer = toAnswer(question.answer);
      const pool = pools.get(attribute) ?? new Map<string, Answer>();
      pools.set(attribute, pool);
      // of several spellings the one that sorts first
      const known = pool.get(answer.norm);
      if (known === undefined || answer.text < known.text) pool.set(answer.norm, answer);
      const key = `${question.imageId}\n${attribute}`;
      this.byImage.set(key, (this.byImage.get(key) ?? new Set()).add(answer.norm));
    }
    const inOrder = (pool: Map<string, Answer>) =>
      [...pool.values()].sort((a, b) => (a.norm < b.norm ? -1 : 1));
    this.byAttribute = new Map([...pools].map(([attribute, pool]) => [attribute, inOrder(pool)]));
  }

  get attributes(): readonly Attribute[] {
    return [...this.byAttribute.keys()].sort();
  }

  /**
   * Wrong answers to a question beside those chosen, up to `count` in all: none says what the right one or another
   * says, and none is what another question of the kind about the image has for an answer, as it may be right, too.
   */
  draw(question: Question, of: Attribute, count: number, chosen: readonly Answer[], words: Words): Answer[] {
    const pool = this.byAttribute.get(of) ?? [];
    const near = this.byImage.get(`${question.imageId}\n${attributeOf(question)}`);
    const taken = [toAnswer(question.answer), ...chosen];
    const take = (answer: Answer) => {
      if (!near?.has(answer.norm) && !taken.some((other) => overlaps(other, answer))) taken.push(answer);
      return taken.length > count;
    };
    if (taken.length > count) return [...chosen];
    // a few draws suffice but in small pools: large ones are never gone through
    const tries = Array.from({ length: 20 * count }, (_, n) =>
      Math.floor(uniform(...words, n) * pool.length),
    );
    const found = pool.length > 0 && tries.some((at) => take(pool[at]!));
    if (!found) shuffled(pool, ...words, 'rest').some(take);
    return taken.slice(1);
  }
}

/** The letters' texts of a question, the right one among them. */
function optionsOf(question: Question, pools: Pools, { options, seed }: InstructOptions, round: number) {
  const { qid, answer } = question;
  const words = [seed, 'options', qid, round] as const;
  if (isYesNo(answer)) {
    const other = normaliseAnswer(answer) === 'yes' ? 'No' : 'Yes';
    return { texts: shuffled([answer, other], ...words), filled: false };
  }
  const attribute = attributeOf(question);
  const own = pools.draw(question, attribute, options - 1, [], words);
  const others = pools.attributes.filter((of) => of !== attribute);
  const wrong = shuffled(others, ...words, 'fill').reduce(
    (chosen, of) => pools.draw(question, of, options - 1, chosen, [...words, of]),
    own,
  );
  const texts = shuffled([answer, ...wrong.map(({ text }) => text)], ...words, 'letters');
  return { texts, filled: own.length < options - 1 };
}

/** As a number where it is one: the published files have numbers. */
const publishedQid = (qid: string): number | string => (/^(0|[1-9]\d{0,14})$/.test(qid) ? Number(qid) : qid);

/**
 * Rows in the published shape.
 *
 * Each form of a question is a template of its own, in an order drawn from (seed, qid); once all are used they come
 * again with other options. Wrong answers come from `questions` alone: give the training part.
 */
export function instruct(questions: readonly Question[], options: InstructOptions): Instructed {
  const pools = new Pools(questions);
  const attributes = new Map<Attribute, number>();
  let yesNo = 0;
  let filledRows = 0;
  const rows = questions.map((question): InstructionRow => {
    const { qid, imageId, answer } = question;
    const closed = isYesNo(answer);
    const templates = closed ? closedTemplates : openTemplates;
    const count = options.perQuestion ?? templates.length;
    const order =
      count === templates.length ? templates : shuffled(templates, options.seed, 'templates', qid);
    const rounds = Array.from({ length: Math.ceil(count / templates.length) }, (_, round) =>
      optionsOf(question, pools, options, round),
    );
    const forms = Array.from({ length: count }, (_, i) => {
      const { texts } = rounds[Math.floor(i / templates.length)]!;
      return order[i % templates.length]!(question.question, lettered(texts));
    });
    if (closed) yesNo += 1;
    else attributes.set(attributeOf(question), (attributes.get(attributeOf(question)) ?? 0) + 1);
    if (rounds.some(({ filled }) => filled)) filledRows += 1;
    return { img_name: imageId, qid: publishedQid(qid), answer, question_pool: forms };
  });
  return { rows, attributes, yesNo, filled: filledRows };
}
