/** @file What the answers about an image tell of how it was taken. */
import type { Question } from '../dataset.js';

export const modalities = ['ct', 'mri', 'x-ray'] as const;
export const planes = ['axial', 'coronal', 'sagittal', 'pa', 'ap'] as const;
export type Modality = (typeof modalities)[number];
export type Plane = (typeof planes)[number];

/** Spellings in questions and answers; several words of one kind tell nothing. */
const modalityWords: readonly (readonly [Modality, RegExp])[] = [
  ['ct', /\bct\b/],
  ['mri', /\b(mri?|flair|t[12]|dwi|adc|diffusion weighted)\b/],
  ['x-ray', /\b(x[ -]?rays?|cxr|xr|plain film|radiograph)\b/],
];
const planeWords: readonly (readonly [Plane, RegExp])[] = [
  ['axial', /\b(axial|transverse)\b/],
  ['coronal', /\bcoronal\b/],
  ['sagittal', /\bsag+it+al\b/],
  ['pa', /\b(pa|posteroanterior|posterior[ -]anterior)\b/],
  ['ap', /\b(ap|anteroposterior|anterior[ -]posterior)\b/],
];

export interface ImageFacts {
  readonly modality?: Modality;
  readonly plane?: Plane;
}

/**
 * Modality and plane of one image, as far as its answered questions agree on them.
 *
 * An open answer names the fact ("MRI - T2 weighted"); "yes" confirms what a question of the form
 * "is this …" names. "No" tells nothing: it leaves more than one possibility.
 */
export function factsOf(answered: readonly Question[]): ImageFacts {
  const about = answered.filter((q) => /MODALITY|PLANE/.test(q.questionType ?? ''));
  const statements = about.map(statementOf);
  const plane = agreed(statements, planeWords);
  const film = plane === 'pa' || plane === 'ap';
  // PA and AP name the path of the beam through the patient: only films have one.
  const modality = agreed(statements, modalityWords) ?? (film ? 'x-ray' : undefined);
  return { ...(modality && { modality }), ...(plane && { plane }) };
}

function statementOf({ question, answer }: Question): string {
  const asked = question.toLowerCase();
  const said = answer.toLowerCase();
  if (said === 'yes') return /^(is|was) (this|the) /.test(asked) ? asked : '';
  return said === 'no' || /\bnot\b/.test(asked) ? '' : said;
}

function agreed<T>(statements: readonly string[], words: readonly (readonly [T, RegExp])[]): T | undefined {
  const named = words.filter(([, spelling]) => statements.some((text) => spelling.test(text)));
  return named.length === 1 ? named[0]![0] : undefined;
}
