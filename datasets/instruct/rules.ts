/**
 * @file The attribute that a question asks for: options of a question are answers of the same attribute.
 *
 * 1. What the data set says (VQA-RAD's question_type, SLAKE's content_type), by `fieldAttributes`. Of several kinds,
 *    as in "POS, ABN", the first that is known counts.
 * 2. Else the words of the question, by the first of `questionRules` that fits.
 * 3. Else the words of the answer, by the first of `answerRules` that fits.
 * 4. Else `other`.
 */
import type { Question } from '../dataset.js';

export const attributes = [
  'modality',
  'plane',
  'shape',
  'size',
  'organ',
  'location',
  'pathology',
  'color',
  'count',
  'other',
] as const;
export type Attribute = (typeof attributes)[number];

/** Kinds as data sets name them, in lower case. */
const fieldAttributes: Readonly<Record<string, Attribute>> = {
  modality: 'modality',
  plane: 'plane',
  shape: 'shape',
  size: 'size',
  organ: 'organ',
  pos: 'location',
  position: 'location',
  location: 'location',
  abn: 'pathology',
  abnormality: 'pathology',
  pres: 'pathology',
  pathology: 'pathology',
  color: 'color',
  colour: 'color',
  count: 'count',
  quantity: 'count',
};

type Rule = readonly [Attribute, RegExp];

/** In the order in which they are tried: "where is the largest mass" asks for a place, not for a size. */
const questionRules: readonly Rule[] = [
  ['count', /\bhow many\b|\bnumber of\b/],
  [
    'location',
    /\bwhere\b|\blocation\b|\blocated\b|\bwhich (side|lobe|part|region|quadrant)\b|\bposition of\b/,
  ],
  ['plane', /\bplane\b|\bview\b|\bprojection\b|\bacquired\b.*\b(axial|coronal|sagittal)\b|\borientation\b/],
  [
    'modality',
    /\bmodality\b|\bimaging\b|\bkind of (scan|image|study)\b|\btype of (scan|image|study)\b|\bweight(ed|ing)\b|\bcontrast\b/,
  ],
  ['size', /\bhow (big|large|wide|long|thick|small)\b|\bsize\b|\bdiameter\b/],
  ['shape', /\bshape\b|\bcontour\b|\bmargins?\b|\bborders?\b/],
  ['color', /\bcolou?r\b|\bdensity\b|\bintensity\b|\bdenser\b/],
  ['organ', /\borgans?\b|\bbody part\b|\bstructures?\b/],
  [
    'pathology',
    /\babnormal|\bpatholog|\bdiseases?\b|\bdiagnos|\blesions?\b|\bmass(es)?\b|\bfindings?\b|\bwrong\b|\bcondition\b/,
  ],
];

const answerRules: readonly Rule[] = [
  [
    'modality',
    /^(a )?(ct|mri|mr|pet|x-?ray|xr|ultrasound|us|angiogra\w+|fluoroscopy|mammogra\w+)\b|-weighted\b/,
  ],
  ['plane', /\b(axial|coronal|sagittal|transverse|pa|ap|lateral)\b( (plane|view|section))?$/],
  ['size', /\b\d+(\.\d+)? ?(mm|cm)\b/],
  ['count', /^(\d+|one|two|three|four|five|six|seven|eight|nine|ten)$/],
  ['location', /\b(left|right|upper|lower|anterior|posterior|bilateral|middle|medial)\b/],
  [
    'organ',
    /^(the )?(heart|lungs?|liver|spleen|kidneys?|brain|stomach|pancreas|bladder|colon|aorta|trachea)$/,
  ],
];

const firstOf = (rules: readonly Rule[], text: string): Attribute | undefined =>
  rules.find(([, words]) => words.test(text.toLowerCase()))?.[0];

/** @example attributeOf({ questionType: 'POS, ABN', ... }) // 'location' */
export function attributeOf({ questionType = '', question, answer }: Question): Attribute {
  const told = questionType
    .toLowerCase()
    .split(/[,;/]/)
    .flatMap((kind) => fieldAttributes[kind.trim()] ?? []);
  return told[0] ?? firstOf(questionRules, question) ?? firstOf(answerRules, answer) ?? 'other';
}
