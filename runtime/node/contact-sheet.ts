/** @file Images with their questions on one page: a self-contained HTML or PNG file. */
import { extname } from 'node:path';
import sharp from 'sharp';
import { safeName } from '../../datasets/check/identifiers.js';
import type { Dataset, Question } from '../../datasets/dataset.js';
import { shuffled } from '../../datasets/random.js';
import { UserError } from '../../graph-builder/errors.js';
import { writeAtomic } from '../../training-artifacts/files.js';
import { decodeImage } from './decode-image.js';
import { escapeHtml, htmlPage } from './scoring/html.js';

/** Side of a picture, pixels. */
const SIDE = 240;
/** Questions shown under a picture. */
const SHOWN = 4;

interface Card {
  readonly imageId: string;
  readonly questions: readonly Question[];
  /** JPEG; undefined: it cannot be decoded */
  readonly jpeg: Buffer | undefined;
}

export interface SheetOptions {
  /** pictures, drawn at random */
  readonly samples: number;
  readonly seed: number;
  /** says where a question belongs, e.g. test */
  readonly partOf: (qid: string) => string | undefined;
  readonly onImage?: (done: number, total: number) => void;
}

async function thumbnail(path: string): Promise<Buffer | undefined> {
  try {
    const { data, width, height } = await decodeImage(path);
    return await sharp(data, { raw: { width, height, channels: 3 } })
      .resize(SIDE, SIDE, { fit: 'contain', background: '#000' })
      .jpeg({ quality: 80 })
      .toBuffer();
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

async function cardsOf({ questions, imagePath }: Dataset, options: SheetOptions): Promise<Card[]> {
  const byImage = new Map<string, Question[]>();
  for (const q of questions) {
    const rows = byImage.get(q.imageId);
    if (rows) rows.push(q);
    else byImage.set(q.imageId, [q]);
  }
  const drawn = shuffled([...byImage.keys()], options.seed, 'contact-sheet').slice(0, options.samples);
  const cards: Card[] = [];
  for (const imageId of drawn) {
    cards.push({ imageId, questions: byImage.get(imageId)!, jpeg: await thumbnail(imagePath(imageId)) });
    options.onImage?.(cards.length, drawn.length);
  }
  return cards;
}

/** Control characters are no part of XML. */
const escaped = (text: string) => escapeHtml(text.replace(/[\p{Cc}]/gu, ' '));

/** Question, answer and part of the first rows of an image. */
const linesOf = ({ questions }: Card, partOf: SheetOptions['partOf']) =>
  questions
    .slice(0, SHOWN)
    .map(({ qid, question, answer }) => ({ question, answer, part: partOf(qid) ?? 'no part' }));

const more = ({ questions }: Card) =>
  questions.length > SHOWN ? `and ${questions.length - SHOWN} more` : undefined;

function html(name: string, cards: readonly Card[], { partOf }: SheetOptions): string {
  const shown = cards.map((card) => {
    const label = escaped(safeName(card.imageId));
    const rows = linesOf(card, partOf).map(
      ({ question, answer, part }) =>
        `<li>${escaped(question)} <strong>${escaped(answer)}</strong> <span class="soft">${part}</span></li>`,
    );
    const rest = more(card);
    const picture = card.jpeg
      ? `<img alt="${label}" src="data:image/jpeg;base64,${card.jpeg.toString('base64')}">`
      : '<p class="wrong">cannot be decoded</p>';
    return `<li class="card">${picture}<div><p class="soft">${label}</p><ul class="plain">${rows.join('')}${rest ? `<li>${rest}</li>` : ''}</ul></div></li>`;
  });
  const body = `<h1>${escaped(name)}</h1>
<p class="soft">${cards.length} images drawn at random, with their questions, reference answers and parts. The page holds the images themselves: treat it like them.</p>
<ul class="cards">
${shown.join('\n')}
</ul>`;
  return htmlPage(name, body);
}

const COLUMNS = 4;
const GAP = 16;
const LINE = 16;
/** Characters of 12 px that fit a picture's width, roughly. */
const WIDE = 38;

/** Breaks a text into lines, at blanks where it can. */
function wrapped(text: string): string[] {
  const lines: string[] = [''];
  for (const word of text.split(/\s+/).flatMap((w) => w.match(new RegExp(`.{1,${WIDE}}`, 'gu')) ?? [])) {
    const last = lines.at(-1)!;
    if (last === '') lines[lines.length - 1] = word;
    else if (last.length + 1 + word.length <= WIDE) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

async function png(cards: readonly Card[], { partOf }: SheetOptions): Promise<Buffer> {
  const texts = cards.map((card) => {
    const rows = linesOf(card, partOf).map(
      ({ question, answer, part }) => `${question} [${answer}] (${part})`,
    );
    return [safeName(card.imageId), ...rows, more(card) ?? ''].flatMap(wrapped);
  });
  const tall = SIDE + GAP + LINE * Math.max(...texts.map((lines) => lines.length));
  const wide = SIDE + GAP;
  const width = COLUMNS * wide + GAP;
  const height = Math.ceil(cards.length / COLUMNS) * (tall + GAP) + GAP;
  const at = (i: number) => ({
    left: GAP + (i % COLUMNS) * wide,
    top: GAP + Math.floor(i / COLUMNS) * (tall + GAP),
  });
  const labels = texts.map((lines, i) => {
    const { left, top } = at(i);
    return lines
      .map((text, l) => `<text x="${left}" y="${top + SIDE + LINE * (l + 1)}">${escaped(text)}</text>`)
      .join('');
  });
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="12">${labels.join('')}</svg>`;
  const pictures = cards.flatMap(({ jpeg }, i) => (jpeg ? [{ input: jpeg, ...at(i) }] : []));
  return sharp({ create: { width, height, channels: 3, background: '#fff' } })
    .composite([{ input: Buffer.from(svg), left: 0, top: 0 }, ...pictures])
    .png()
    .toBuffer();
}

/** @throws {UserError} for an ending that is neither .html nor .png. */
export function checkSheetName(file: string): void {
  if (!['.html', '.png'].includes(extname(file).toLowerCase()))
    throw new UserError(
      'the sheet is an HTML or a PNG file',
      `--contact-sheet ${file}`,
      'end it in .html or .png',
    );
}

/** Draws the sheet into a file; returns how many images it shows. */
export async function writeContactSheet(
  dataset: Dataset,
  file: string,
  options: SheetOptions,
): Promise<number> {
  checkSheetName(file);
  const cards = await cardsOf(dataset, options);
  const isHtml = extname(file).toLowerCase() === '.html';
  writeAtomic(file, isHtml ? html(dataset.name, cards, options) : await png(cards, options));
  return cards.length;
}
