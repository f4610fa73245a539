/** @file What the shipped base model may be trained on: nothing that any published score is measured with. */
import type { Question } from '../dataset.js';
import { hash32 } from '../random.js';
import { drawSplit, sorted, splitNames, wordingOf } from '../split.js';

export interface BaseSplit {
  /** Questions of the base model's training: those on half of `images`. Sorted. */
  readonly qids: readonly string[];
  /** Images of these questions. Sorted. */
  readonly images: readonly string[];
  /** All images that the pretext task may show, both halves. Sorted. */
  readonly pretextImages: readonly string[];
  /** All questions whose answers may be used, on both halves. Sorted. */
  readonly allowedQids: readonly string[];
}

/** Rows that a score or a choice of checkpoint is measured with, in either split. */
export function heldOutQuestions(questions: readonly Question[]): Question[] {
  const heldOut = new Set(
    splitNames.flatMap((name) => {
      const { validation, test } = drawSplit(questions, name);
      return [...validation, ...test];
    }),
  );
  return questions.filter((q) => heldOut.has(q.qid));
}

/**
 * The questions and images that the base model may learn from.
 *
 * Allowed are published train rows, without frame rows, that
 * - are in no validation and no test list of either split; with them go all test images of `image` and all
 *   validation images, since these lists hold every train row of their images,
 * - are not worded like a held-out question on the same image.
 *
 * Test images of `official` are allowed where the published split trains on them, too: 202 of its 203 test
 * images are train images. The base learns from half of the allowed images, the first by hash.
 */
export function baseTrainingQuestions(questions: readonly Question[]): BaseSplit {
  const heldOut = heldOutQuestions(questions);
  const heldOutQids = new Set(heldOut.map((q) => q.qid));
  const heldOutWordings = new Set(heldOut.map(wordingOf));
  const allowed = questions.filter(
    (q) =>
      q.set === 'train' &&
      q.phraseType !== 'frame' &&
      !heldOutQids.has(q.qid) &&
      !heldOutWordings.has(wordingOf(q)),
  );
  const pretextImages = sorted(new Set(allowed.map((q) => q.imageId)));
  const byHash = pretextImages
    .map((imageId) => ({ imageId, order: hash32('base', imageId) }))
    .sort((a, b) => a.order - b.order)
    .map(({ imageId }) => imageId);
  const images = new Set(byHash.slice(0, Math.floor(byHash.length / 2)));
  return {
    qids: sorted(allowed.filter((q) => images.has(q.imageId)).map((q) => q.qid)),
    images: sorted(images),
    pretextImages,
    allowedQids: sorted(allowed.map((q) => q.qid)),
  };
}
