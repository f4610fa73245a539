import { expect, test } from 'vitest';
import { loadSplit } from '../../../datasets/split-file.js';
import { baseTrainingQuestions } from '../../../datasets/vqa-rad/base-split.js';
import { factsOf } from '../../../datasets/vqa-rad/image-facts.js';
import { pretextQuestions } from '../../../datasets/vqa-rad/pretext.js';
import { loadVqaRad } from '../../../datasets/vqa-rad.js';

const dataset = loadVqaRad();
const { questions } = dataset;
const byQid = new Map(questions.map((q) => [q.qid, q]));
const imageOf = (qid: string) => byQid.get(qid)!.imageId;
const base = baseTrainingQuestions(questions);
const official = loadSplit(dataset, 'official');
const image = loadSplit(dataset, 'image');
// From the shipped files, not from the code that draws them.
const heldOut = new Set([...official.validation, ...official.test, ...image.validation, ...image.test]);
const closed = new Set([...official.validation, ...image.validation, ...image.test].map(imageOf));
const read = (text: string) =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, ' ')
    .trim();

test('the base sees nothing that a score or a checkpoint is chosen with', () => {
  for (const qid of base.allowedQids) {
    const row = byQid.get(qid)!;
    expect(heldOut.has(qid), qid).toBe(false);
    expect(row).toMatchObject({ set: 'train' });
    expect(row.phraseType).not.toBe('frame');
  }
  expect(base.pretextImages.filter((id) => closed.has(id))).toEqual([]);
  const wordings = new Set([...heldOut].map((qid) => `${imageOf(qid)} ${read(byQid.get(qid)!.question)}`));
  const alike = base.allowedQids.filter((qid) =>
    wordings.has(`${imageOf(qid)} ${read(byQid.get(qid)!.question)}`),
  );
  expect(alike).toEqual([]);
});

test('it learns from exactly half of the allowed images, all their allowed questions', () => {
  expect(base.images).toHaveLength(Math.floor(base.pretextImages.length / 2));
  expect(base.pretextImages.length).toBeGreaterThan(200);
  const images = new Set(base.images);
  expect(base.qids).toEqual(base.allowedQids.filter((qid) => images.has(imageOf(qid))));
  expect(base.qids.length).toBeGreaterThan(500);
});

const pretext = pretextQuestions(dataset, base.pretextImages);

test('pretext rows: 10 to 16 an image, yes and no in balance, deterministic', () => {
  expect(pretextQuestions(dataset, base.pretextImages)).toEqual(pretext);
  const rows = new Map<string, typeof pretext>();
  for (const row of pretext) rows.set(row.imageId, [...(rows.get(row.imageId) ?? []), row]);
  expect([...rows.keys()]).toEqual(base.pretextImages);
  for (const [imageId, own] of rows) {
    expect(own.length, imageId).toBeGreaterThanOrEqual(10);
    expect(own.length, imageId).toBeLessThanOrEqual(16);
    expect(new Set(own.map((row) => row.question)).size).toBe(own.length);
    expect(own[0]!.qid).toBe(`pretext-${imageId}-0`);
  }
  const count = (answer: string) => pretext.filter((row) => row.answer === answer).length;
  expect(count('yes')).toBe(count('no'));
  expect(new Set(pretext.map((row) => row.qid)).size).toBe(pretext.length);
});

test('an answer to a held-out question changes no pretext row', () => {
  const spoilt = questions.map((q) =>
    heldOut.has(q.qid) || q.phraseType === 'frame' ? { ...q, answer: 'coronal MRI' } : q,
  );
  expect(pretextQuestions({ ...dataset, questions: spoilt }, base.pretextImages)).toEqual(pretext);
});

test('no pretext row is worded like a held-out question on its image', () => {
  const wordings = new Set([...heldOut].map((qid) => `${imageOf(qid)} ${read(byQid.get(qid)!.question)}`));
  expect(pretext.filter((row) => wordings.has(`${row.imageId} ${read(row.question)}`))).toEqual([]);
});

test('a test question worded like a pretext row takes that row away, and only that', () => {
  const [tested] = official.test.filter((qid) => base.pretextImages.includes(imageOf(qid)));
  const { imageId } = byQid.get(tested!)!;
  const row = pretext.find((q) => q.imageId === imageId)!;
  const asked = questions.map((q) => (q.qid === tested ? { ...q, question: row.question.toUpperCase() } : q));
  const left = pretextQuestions({ ...dataset, questions: asked }, base.pretextImages);
  expect(left).toEqual(pretext.filter((q) => q !== row));
});

test('organ rows say the organ of the metadata', () => {
  const names: Record<string, string> = { CHEST: 'chest', ABD: 'abdomen', HEAD: 'head' };
  for (const row of pretext.filter((q) => q.questionType === 'ORGAN')) {
    const organ = names[questions.find((q) => q.imageId === row.imageId)!.organ!]!;
    if (row.answerType === 'open') expect(row.answer).toBe(organ);
    else expect(row.answer).toBe(row.question.includes(organ) ? 'yes' : 'no');
  }
});

test('a held-out image is refused by name', () => {
  const [testImage] = [...closed];
  expect(() => pretextQuestions(dataset, [testImage!])).toThrow(testImage);
});

const template = questions[0]!;
const asked = (questionType: string, question: string, answer: string) => ({
  ...template,
  questionType,
  question,
  answer,
});
test.each([
  [[asked('MODALITY', 'What type of MRI is this?', 'T2 weighted')], { modality: 'mri' }],
  [[asked('MODALITY', 'What is the modality?', 'CXR')], { modality: 'x-ray' }],
  [[asked('MODALITY', 'What type of imaging does this not represent?', 'CT')], {}],
  [[asked('MODALITY', 'Is this a CT image?', 'no')], {}],
  [[asked('MODALITY', 'Is this a CT scan?', 'Yes')], { modality: 'ct' }],
  [[asked('MODALITY', 'Can CT be used to assess soft tissues?', 'yes')], {}],
  [[asked('PLANE', 'Is the plane of section transverse?', 'yes')], { plane: 'axial' }],
  [[asked('PLANE', 'Was this image taken in the AP or PA plane?', 'PA')], { modality: 'x-ray', plane: 'pa' }],
  [[asked('PLANE', 'Is this a PA film?', 'yes'), asked('PLANE', 'What plane?', 'AP')], {}],
  [[asked('PRES', 'Is this a mass seen on CT?', 'yes')], {}],
])('%# facts are read from answers', (answered, facts) => {
  expect(factsOf(answered)).toEqual(facts);
});
