/** @file Explains an answer of a run: heat maps as PNG and JSON, and a deletion test of each. */
import { dirname } from 'node:path';
import sharp, { type OverlayOptions } from 'sharp';
import { type RgbImage, resizeImage } from '../../datasets/images/resize.js';
import { writeAtomic, writeJson } from '../../training-artifacts/files.js';
import { explainModelPath } from '../../training-artifacts/graphs/explain.js';
import { weightsPath } from '../../training-artifacts/graphs/manifest.js';
import { inferno, overlay } from '../core/colour-map.js';
import {
  type DeletionOptions,
  type DeletionTest,
  deletionTest,
  type ExplainedAnswer,
  type Explanation,
  explainAnswer,
} from '../core/explain.js';
import type { OpenedRun } from './inference.js';
import { openSession } from './ort.js';

/** Longest side of a panel, pixels. */
const PANEL = 480;
const [GAP, TITLE, LEGEND] = [12, 30, 40];
const INK = '#1d2530';

export interface ExplainedImage extends Explanation {
  readonly deletion: { readonly gradient: DeletionTest; readonly attention: DeletionTest };
}

/** Heat maps and deletion tests of one answer; `pixels` [3, side, side] as the model takes them. */
export async function explainOne(
  run: string,
  { manifest, answerer, trained }: OpenedRun,
  pixels: Float32Array,
  answer: ExplainedAnswer,
  options: DeletionOptions & { readonly threads?: number },
): Promise<ExplainedImage> {
  const { config } = manifest;
  const session = await openSession(explainModelPath(run, manifest), {
    weightsFolder: dirname(weightsPath(run, manifest)),
    ...(options.threads && { threads: options.threads }),
  });
  const states = await answerer.encodeImages([pixels]);
  const explanation = await explainAnswer(session, trained, config, states, answer);
  await session.release();
  const { share, draws, seed } = options;
  const test = (kind: 'gradient' | 'attention') =>
    deletionTest(answerer, config, pixels, answer, explanation[kind], { share, draws, seed });
  return {
    ...explanation,
    deletion: { gradient: await test('gradient'), attention: await test('attention') },
  };
}

const svgText = (x: number, y: number, text: string, anchor = 'start'): string =>
  `<text x="${x}" y="${y}" text-anchor="${anchor}">${text}</text>`;

/** Titles above the panels and the colours' legend below the second. */
function captions(width: number, height: number, panel: number): Buffer {
  const titles = ['image', 'gradient-weighted attention', 'attention'];
  const bar = panel + 2 * GAP;
  const stops = Array.from(
    { length: 9 },
    (_, i) => `<stop offset="${i / 8}" stop-color="rgb(${inferno(i / 8).join()})"/>`,
  );
  const text = [
    ...titles.map((title, i) => svgText(GAP + i * (panel + GAP), TITLE - 9, title)),
    svgText(bar, height - 8, 'least'),
    svgText(bar + panel, height - 8, 'most', 'end'),
  ];
  return Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">
<defs><linearGradient id="heat">${stops.join('')}</linearGradient></defs>
<rect x="${bar}" y="${height - LEGEND + 8}" width="${panel}" height="10" fill="url(#heat)"/>
<g font-family="DejaVu Sans, Helvetica, Arial, sans-serif" font-size="14" fill="${INK}">${text.join('')}</g></svg>`);
}

/** The image, the image with each map over it, and a legend: one PNG without any metadata of the image's file. */
export async function explanationPng(
  image: RgbImage,
  { gradient, attention }: Pick<Explanation, 'gradient' | 'attention'>,
): Promise<Buffer> {
  const scale = PANEL / Math.max(image.width, image.height);
  const [w, h] = [image.width, image.height].map((n) => Math.max(1, Math.round(n * scale))) as [
    number,
    number,
  ];
  const { data } = resizeImage(image, h, w);
  const width = 3 * w + 4 * GAP;
  const height = h + TITLE + LEGEND;
  const panels = [data, overlay(data, w, h, gradient), overlay(data, w, h, attention)];
  const layers = panels.map(
    (pixels, i): OverlayOptions => ({
      input: Buffer.from(pixels),
      raw: { width: w, height: h, channels: 3 },
      left: GAP + i * (w + GAP),
      top: TITLE,
    }),
  );
  return sharp({ create: { width, height, channels: 3, background: '#ffffff' } })
    .composite([...layers, { input: captions(width, height, w), left: 0, top: 0 }])
    .removeAlpha()
    .png()
    .toBuffer();
}

/** What the JSON file says besides numbers. */
const methods = {
  attention:
    "cross-attention of the question's tokens to the patches, mean over layers and heads, weighted by how much the answer's tokens attend to each question token",
  gradient:
    'the same probabilities times the positive part of the gradient of log p(answer) with respect to them, summed over layers and question tokens, mean over heads',
  deletion:
    'probability of the same answer with the hottest patches in the mean colour of the image, against as many random patches; p counts draws that lose at least as much',
};

/** Writes OUT.png and OUT.json. @throws {FileError} when they cannot be written. */
export async function writeExplanation(
  png: string,
  image: RgbImage,
  explained: ExplainedImage,
  said: { readonly question: string; readonly answer: string; readonly probability: number },
): Promise<{ png: string; json: string }> {
  const json = `${png.replace(/\.png$/i, '')}.json`;
  const { attention, gradient, deletion } = explained;
  const rowsOf = ({ rows, columns, values }: Explanation['attention']) =>
    Array.from({ length: rows }, (_, r) => [...values.subarray(r * columns, (r + 1) * columns)]);
  writeAtomic(png, await explanationPng(image, explained));
  writeJson(json, {
    ...said,
    grid: { rows: attention.rows, columns: attention.columns },
    attention: rowsOf(attention),
    gradient: rowsOf(gradient),
    deletion,
    methods,
  });
  return { png, json };
}
