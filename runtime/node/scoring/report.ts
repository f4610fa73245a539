/** @file eval/<name>.html: scores, plots and the worst errors of an evaluation, in one file. */
import { basename } from 'node:path';
import sharp from 'sharp';
import type { QuestionKind } from '../../../datasets/scoring/accuracy.js';
import type { GroupField, MeasureName, Measures } from '../../../datasets/scoring/measure.js';
import { isSameAnswer } from '../../../datasets/scoring/normalise-answer.js';
import { writeAtomic } from '../../../training-artifacts/files.js';
import { NOTICE } from '../cli/main.js';
import { abstainingLine, definitions, groupTitles, kindTitles, percent } from '../cli/scores-table.js';
import { decodeImage } from '../decode-image.js';
import type { Evaluation } from '../evaluate.js';
import { confidencePlots } from './confidence-plots.js';
import { escapeHtml, htmlPage, htmlTable } from './html.js';
import { type AnsweredRow, evaluationPath } from './recorded.js';

/** Wrong answers that are shown. */
const ERRORS = 24;
/** Longest side of their images, pixels. */
const IMAGE_SIDE = 360;

/** A small JPEG of the decoded pixels: nothing else of the file is kept. */
async function thumbnail(path: string): Promise<string> {
  const { data, width, height } = await decodeImage(path);
  const bytes = await sharp(data, { raw: { width, height, channels: 3 } })
    .resize(IMAGE_SIDE, IMAGE_SIDE, { fit: 'inside', withoutEnlargement: true })
    .jpeg({ quality: 80 })
    .toBuffer();
  return `data:image/jpeg;base64,${bytes.toString('base64')}`;
}

const kinds = Object.keys(kindTitles) as QuestionKind[];
type Ranged = { readonly n: number; readonly low: number; readonly high: number };
const cells = (name: string, share: number, { n, low, high }: Ranged): string[] => [
  name,
  String(n),
  percent(share),
  `${percent(low)} – ${percent(high)}`,
];
const HEAD = ['', 'n', '%', '95%'];

function scoreTables({ scores, f1, bleu1, majority }: Evaluation): string {
  const exact = [
    ...kinds.map((kind) => cells(kindTitles[kind], scores[kind].accuracy, scores[kind])),
    cells(`always '${majority.answer}' on yes/no`, majority.yesNo.accuracy, majority.yesNo),
  ];
  const means = (title: string, table: Measures['f1']) =>
    table
      ? [
          htmlTable(title, [
            HEAD,
            ...kinds.map((kind) => cells(kindTitles[kind], table[kind].mean, table[kind])),
          ]),
        ]
      : [];
  return `<div class="tables">${[
    htmlTable('Exact match', [HEAD, ...exact]),
    ...means('Token F1', f1),
    ...means('BLEU-1', bleu1),
  ].join('\n')}</div>`;
}

function yesNoPart({ yesNo }: Measures): string {
  if (!yesNo || yesNo.n === 0) return '';
  const { table, bias, n } = yesNo;
  const counts = htmlTable('Right answer (rows) and what was said', [
    ['', 'yes', 'no', 'other'],
    ...(['yes', 'no'] as const).map((right) => [
      right,
      ...[table[right].yes, table[right].no, table[right].other].map(String),
    ]),
  ]);
  const leaning = `It says yes ${percent(bias.mean)} points more often than is right (95%: ${percent(bias.low)} to ${percent(bias.high)}), over ${n} questions.`;
  return `<h2>Yes and no</h2>${counts}<p>${escapeHtml(leaning)}</p>`;
}

function groupsPart({ groups }: Measures): string {
  const tables = (Object.entries(groups ?? {}) as [GroupField, NonNullable<typeof groups>['organ']][]).map(
    ([field, values]) =>
      htmlTable(`Exact match by ${groupTitles[field]}`, [
        HEAD,
        ...Object.entries(values ?? {}).map(([value, score]) => cells(value, score.accuracy, score)),
      ]),
  );
  return tables.length === 0 ? '' : `<h2>Groups</h2><div class="tables">${tables.join('\n')}</div>`;
}

async function confidencePart({ confidence, abstaining, scores }: Evaluation): Promise<string> {
  if (!confidence) return '';
  const { reliability, riskCoverage } = await confidencePlots(confidence, abstaining?.threshold);
  const rows = Object.entries(confidence).map(([name, { calibration, selective }]) => [
    name === 'calibrated' ? 'after temperature scaling' : 'probability of the answer',
    percent(calibration.ece),
    percent(selective.aurc),
    percent(selective.best),
  ]);
  const said = abstaining
    ? abstainingLine(abstaining, scores.overall.n)
    : 'This checkpoint is not calibrated: ort-eval --calibrate fits a temperature on the validation questions.';
  return `<h2>Confidence</h2>
<div class="plots"><figure>${reliability}</figure><figure>${riskCoverage}</figure></div>
<p>${escapeHtml(said)}</p>
${htmlTable('Calibration error, and risk over all coverages', [['', 'calibration error %', 'AURC %', 'least possible'], ...rows])}`;
}

async function errorCard(row: AnsweredRow, imagePath: (imageId: string) => string): Promise<string> {
  const { imageId, question, answer, prediction, probability, calibrated, organ, questionType, qid } = row;
  const facts = [organ, questionType, `question ${qid}`].filter((fact) => fact !== undefined).join(' · ');
  const sure = [
    `${percent(probability!)}%`,
    ...(calibrated === undefined ? [] : [`calibrated ${percent(calibrated)}%`]),
  ].join(', ');
  const image = await thumbnail(imagePath(imageId));
  return `<li class="card"><img src="${image}" alt="image of question ${escapeHtml(qid)}"><div>
<p class="question">${escapeHtml(question)}</p>
<dl><dt>said</dt><dd class="wrong">${escapeHtml(prediction || '(nothing)')}</dd>
<dt>right</dt><dd class="right">${escapeHtml(answer)}</dd>
<dt>confidence</dt><dd>${sure}</dd></dl>
<p class="soft">${escapeHtml(facts)}</p></div></li>`;
}

async function errorsPart(
  rows: readonly AnsweredRow[],
  imagePath: (imageId: string) => string,
): Promise<string> {
  const wrong = rows.filter((row) => !isSameAnswer(row.prediction, row.answer));
  const worst = wrong.sort((a, b) => b.probability! - a.probability!).slice(0, ERRORS);
  if (worst.length === 0) return '<h2>Errors</h2><p>Every answer is right.</p>';
  const cards: string[] = [];
  for (const row of worst) cards.push(await errorCard(row, imagePath));
  return `<h2>The most confident wrong answers</h2>
<p class="soft">${worst.length} of ${wrong.length} wrong answers, of ${rows.length} questions.</p>
<ul class="cards">${cards.join('\n')}</ul>`;
}

function definitionsPart({ f1, bleu1, yesNo, groups, confidence }: Measures): string {
  const present: Record<MeasureName, unknown> = {
    exact: true,
    f1,
    bleu1,
    'yes-no': yesNo,
    groups,
    calibration: confidence,
  };
  const items = (Object.keys(definitions) as MeasureName[])
    .filter((name) => present[name])
    .map((name) => `<li>${escapeHtml(definitions[name])}</li>`);
  return `<h2>Definitions</h2><ul class="plain">${items.join('\n')}
<li>95%: percentile bootstrap of the questions, 2,000 resamples</li></ul>`;
}

/**
 * Writes the report of an evaluation beside its scores. It holds what the data set has of the questions that it
 * shows, and nothing else: images are decoded and made small, file names left out.
 *
 * @returns its path. @throws {FileError} when an image does not decode or the folder cannot be written.
 */
export async function writeEvaluationReport(
  evaluation: Evaluation,
  rows: readonly AnsweredRow[],
  imagePath: (imageId: string) => string,
): Promise<string> {
  const { run, data, split, on, checkpoint, mode, beams, splitSha256, candidates } = evaluation;
  const title = `${basename(run)}: ${on} questions of ${basename(data)}`;
  const how = candidates
    ? `ranks ${candidates.n} candidate answers`
    : `${mode}s answers with ${beams} beam${beams === 1 ? '' : 's'}`;
  const body = [
    `<h1>${escapeHtml(title)}</h1>`,
    `<p class="soft">${escapeHtml(`checkpoint ${checkpoint}, ${how}; ${split} split, sha256 ${splitSha256}`)}</p>`,
    `<p class="notice"><strong>${escapeHtml(NOTICE)}</strong></p>`,
    `<h2>Scores</h2>${scoreTables(evaluation)}`,
    yesNoPart(evaluation),
    await confidencePart(evaluation),
    groupsPart(evaluation),
    await errorsPart(rows, imagePath),
    definitionsPart(evaluation),
  ];
  const path = evaluationPath(run, evaluation, '.html');
  writeAtomic(path, htmlPage(title, body.filter((part) => part !== '').join('\n')));
  return path;
}
