/** @file Questions made from metadata: they teach a model from scratch to look and to answer. */
import { UserError } from '../../graph-builder/errors.js';
import type { Dataset, Question } from '../dataset.js';
import { shuffled } from '../random.js';
import { wordingOf } from '../split.js';
import { baseTrainingQuestions, heldOutQuestions } from './base-split.js';
import { factsOf, modalities, type Plane, planes } from './image-facts.js';

/** `{}` stands for the organ, modality or plane. */
interface Wordings {
  readonly type: string;
  readonly open: readonly string[];
  readonly yesNo: readonly string[];
}

const organNames: Readonly<Record<string, string>> = { CHEST: 'chest', ABD: 'abdomen', HEAD: 'head' };

const organWordings: Wordings = {
  type: 'ORGAN',
  open: [
    'which part of the body is shown?',
    'what part of the body is this?',
    'what region of the body does the image show?',
    'which body region is imaged here?',
    'what does this image show: head, chest or abdomen?',
  ],
  yesNo: [
    'is this an image of the {}?',
    'does this image show the {}?',
    'is the {} shown here?',
    'was this image taken of the {}?',
  ],
};
const modalityWordings: Wordings = {
  type: 'MODALITY',
  open: [
    'which technique made this image?',
    'what modality is it: ct, mri or x-ray?',
    'how was this imaged?',
  ],
  yesNo: ['was this image made by {}?', 'is the modality {}?', 'is {} the technique used here?'],
};
const planeWordings: Wordings = {
  type: 'PLANE',
  open: ['in which plane was this imaged?', 'which view is this?', 'what is the orientation of this image?'],
  yesNo: ['is the view {}?', 'is the orientation of this image {}?', 'is {} the plane shown here?'],
};

type Pair = readonly [question: string, answer: string];

/** `open` open rows and `yesNo` pairs of one yes and one no row; wordings vary by image. */
function ask(
  wordings: Wordings,
  truth: string,
  others: readonly string[],
  count: { open: number; yesNo: number },
  imageId: string,
): Pair[] {
  const open = shuffled(wordings.open, imageId, wordings.type, 'open').slice(0, count.open);
  const templates = shuffled(wordings.yesNo, imageId, wordings.type, 'yesNo').slice(0, count.yesNo);
  const wrong = shuffled(others, imageId, wordings.type, 'wrong');
  return [
    ...open.map((question): Pair => [question, truth]),
    ...templates.flatMap((template, i): Pair[] => [
      [template.replace('{}', truth), 'yes'],
      [template.replace('{}', wrong[i % wrong.length]!), 'no'],
    ]),
  ];
}

/** Views that could be asked of the same kind of image: no film is axial, no slice is PA. */
function otherPlanes(plane: Plane): Plane[] {
  const isFilm = (p: Plane) => p === 'pa' || p === 'ap';
  return planes.filter((p) => p !== plane && (isFilm(plane) === isFilm(p) || p === 'sagittal'));
}

/** Rows about one image, of which `own` are the allowed questions. */
function rowsOf(imageId: string, own: readonly Question[]): Question[] {
  const organ = own[0]!.organ!;
  const organName = organNames[organ]!;
  const { modality, plane } = factsOf(own);
  const otherOrgans = Object.values(organNames).filter((name) => name !== organName);
  const few = { open: 1, yesNo: 1 };
  const asked: [Wordings, Pair[]][] = [
    [organWordings, ask(organWordings, organName, otherOrgans, { open: 4, yesNo: 3 }, imageId)],
  ];
  if (modality) {
    const others = modalities.filter((m) => m !== modality);
    asked.push([modalityWordings, ask(modalityWordings, modality, others, few, imageId)]);
  }
  if (plane) asked.push([planeWordings, ask(planeWordings, plane, otherPlanes(plane), few, imageId)]);
  return asked
    .flatMap(([{ type }, pairs]) => pairs.map((pair) => [type, ...pair] as const))
    .map(([questionType, question, answer], k) => ({
      qid: `pretext-${imageId}-${k}`,
      imageId,
      question,
      answer,
      answerType: answer === 'yes' || answer === 'no' ? 'closed' : 'open',
      questionType,
      organ,
      phraseType: 'frame',
      set: 'train',
    }));
}

/**
 * 10 to 16 rows an image about body region, modality and plane; each "yes" has its "no".
 *
 * The region is the image's metadata. Modality and plane come from answers in `allowedQids` of
 * `baseTrainingQuestions` alone; an image without such an answer gets no such rows. A row worded like a
 * held-out question on the same image is left out.
 * Rows have `phraseType` frame and qids `pretext-<image>-<k>`; the same images always give the same rows.
 *
 * @throws {UserError} when an image is not one of `pretextImages`.
 */
export function pretextQuestions(dataset: Dataset, imageIds: readonly string[]): Question[] {
  const { pretextImages, allowedQids } = baseTrainingQuestions(dataset.questions);
  const open = new Set(pretextImages);
  const closed = imageIds.find((id) => !open.has(id));
  if (closed !== undefined) {
    throw new UserError(
      'this image is held out or has no training question',
      closed,
      `choose from the ${open.size} images that baseTrainingQuestions lists as pretextImages`,
    );
  }
  const allowed = new Set(allowedQids);
  const heldOut = new Set(heldOutQuestions(dataset.questions).map(wordingOf));
  const answered = new Map<string, Question[]>(imageIds.map((imageId) => [imageId, []]));
  for (const q of dataset.questions) if (allowed.has(q.qid)) answered.get(q.imageId)?.push(q);
  return [...answered]
    .flatMap(([imageId, own]) => rowsOf(imageId, own))
    .filter((q) => !heldOut.has(wordingOf(q)));
}
