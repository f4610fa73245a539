/** @file Draws the splits: which questions train, choose a checkpoint, and test. Pure. */
import type { Question } from './dataset.js';
import { hash32, shuffled } from './random.js';

export const splitNames = ['official', 'image'] as const;

/**
 * `official`: as published with the rows; of VQA-RAD by question, nearly all its test images are also trained on.
 * `image`: no image of a test question is trained on.
 */
export type SplitName = (typeof splitNames)[number];

/** Disjoint, sorted lists of qids. `train` does not contain `validation`. */
export interface SplitLists {
  readonly train: readonly string[];
  readonly validation: readonly string[];
  readonly test: readonly string[];
}

export interface SplitOptions {
  /** Train on templated rows, too; those that would leak a test or validation question stay out. */
  readonly frame?: boolean;
}

/** Of the images of each organ, in the `image` split; of VQA-RAD 21 each, 63 of 314. */
const TEST_SHARE = 0.2;
const VALIDATION_SHARE = 0.1;

/** A text without case, blanks and punctuation: equal for questions that read alike. */
export const wordsOf = (text: string): string =>
  text
    .toLowerCase()
    .match(/[\p{L}\p{N}]+/gu)
    ?.join(' ') ?? '';

/** Image and wording: equal for questions that ask the same of an image. */
export const wordingOf = ({ imageId, question }: Pick<Question, 'imageId' | 'question'>): string =>
  `${imageId} ${wordsOf(question)}`;

/** Code unit order: the same on every machine and in every language. */
export const sorted = (words: Iterable<string>): string[] => [...words].sort((a, b) => (a < b ? -1 : 1));

/** Image ids by organ, sorted; images without one form a group of their own. */
function imagesByOrgan(questions: readonly Question[]): [string, string[]][] {
  const byOrgan = new Map<string, Set<string>>();
  for (const { organ = '', imageId } of questions) {
    byOrgan.set(organ, (byOrgan.get(organ) ?? new Set()).add(imageId));
  }
  return sorted(byOrgan.keys()).map((organ) => [organ, sorted(byOrgan.get(organ)!)]);
}

/**
 * A tenth of the images of each organ, those that come first by hash.
 * The hash does not know the split, so that both splits hold out mostly the same images.
 */
function validationImages(questions: readonly Question[], seed: number): Set<string> {
  const drawn = imagesByOrgan(questions).flatMap(([, images]) => {
    const byHash = images
      .map((imageId) => ({ imageId, order: hash32(seed, 'validation', imageId) }))
      .sort((a, b) => a.order - b.order);
    return byHash.slice(0, Math.round(images.length * VALIDATION_SHARE)).map(({ imageId }) => imageId);
  });
  return new Set(drawn);
}

function imageTestImages(questions: readonly Question[], seed: number): Set<string> {
  return new Set(
    imagesByOrgan(questions).flatMap(([organ, images]) =>
      shuffled(images, seed, 'image-test', organ).slice(0, Math.round(images.length * TEST_SHARE)),
    ),
  );
}

/**
 * Draws a split; the same arguments always give the same lists.
 *
 * Validation is the published one in `official`, where there is one; else all trainable questions of a tenth of the
 * images that the split trains on.
 * Rows of `phraseType` frame are in no list unless `frame` is set, and then in `train` only.
 */
export function drawSplit(
  questions: readonly Question[],
  name: SplitName,
  seed = 0,
  { frame = false }: SplitOptions = {},
): SplitLists {
  const asked = questions.filter((q) => q.phraseType !== 'frame');
  const testImages = name === 'image' ? imageTestImages(asked, seed) : new Set<string>();
  const isTest = (q: Question) => (name === 'image' ? testImages.has(q.imageId) : q.set === 'test');

  const test = asked.filter(isTest);
  const rest = asked.filter((q) => !isTest(q));
  const published = name === 'official' && rest.some((q) => q.set === 'validation');
  const heldOut = published ? new Set<string>() : validationImages(rest, seed);
  const isHeldOut = (q: Question) => (published ? q.set === 'validation' : heldOut.has(q.imageId));
  const train = rest.filter((q) => !isHeldOut(q));
  if (frame) {
    const tested = new Set(test.map(wordingOf));
    train.push(
      ...questions.filter(
        (q) =>
          q.phraseType === 'frame' &&
          !isHeldOut(q) &&
          !testImages.has(q.imageId) &&
          !tested.has(wordingOf(q)),
      ),
    );
  }
  const qids = (rows: readonly Question[]) => sorted(rows.map((q) => q.qid));
  return {
    train: qids(train),
    validation: qids(rest.filter(isHeldOut)),
    test: qids(test),
  };
}
