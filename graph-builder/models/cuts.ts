/** @file Where MISS can be cut: what may be kept of its image encoder and JTM encoder. */
import { product } from '../ir/dim.js';
import type { Graph } from '../ir/types.js';
import type { CutOptions, Feature, FrozenCut } from '../rewrites/frozen-cut.js';
import { frozenCut, keptBy } from '../rewrites/frozen-cut.js';
import { adaptersToQuerySide } from '../rewrites/query-side.js';

/**
 * vit: the image encoder's output, an image.
 * kv:  also the frozen key and value products of cross-attention, a question's image; with a frozen JTM encoder the
 *      question's states instead, a question.
 */
export const cutLevels = ['vit', 'kv'] as const;
export type CutLevel = (typeof cutLevels)[number];

export interface MissCut extends FrozenCut {
  /** what a row of features belongs to */
  readonly per: FeatureOwner;
}

/**
 * image: a distinct image of the batch. imageOfQuestion: the image of each question, again if several ask about it:
 * large features are fed where they are needed, since picking them in the graph copies them once more.
 */
export const featureOwners = ['image', 'imageOfQuestion', 'question'] as const;
export type FeatureOwner = (typeof featureOwners)[number];

const image = { source: 'pixel_values', inputs: new Set(['pixel_values']), items: 'images' } as const;

const question: CutOptions = {
  source: 'pixel_values',
  inputs: new Set([
    'pixel_values',
    'image_selection',
    'question_ids',
    'question_mask',
    'question_position_ids',
    'question_shape',
    'question_token_shape',
  ]),
  // the decoder's keys have their heads before their tokens: the states alone can be cut to a question's length
  parameters: (p) => !p.name.startsWith('text_decoder.'),
  items: 'batch',
};

/** Rows are tokens of questions, one behind the other. */
const isByToken = ({ shape }: Feature): boolean =>
  shape.length === 2 && shape[0] === product(['batch', 'question_tokens']);

/** A loss graph with distinct images, and one with an image a question: see `lossGraph`. */
export type LossGraphs = (images: 'images' | 'batch') => Graph;

/** Cuts a loss graph; undefined when the image encoder is not frozen, or has dropout. */
export function cutMiss(lossGraph: LossGraphs, level: CutLevel): MissCut | undefined {
  const graph = lossGraph('images');
  const isImageEncoder = { parameters: (p: { name: string }) => p.name.startsWith('visual_encoder.') };
  if (level === 'vit') return wholeEncoder(frozenCut(graph, { ...image, ...isImageEncoder }), 'image');
  const trained = (module: string) =>
    graph.parameters.some((p) => p.trainable && p.name.startsWith(`${module}.`));
  if (trained('visual_encoder')) return undefined;
  if (!trained('text_encoder')) {
    const cut = frozenCut(graph, question);
    if (cut?.features.every(isByToken)) return { ...cut, per: 'question' };
  }
  const cut = wholeEncoder(frozenCut(graph, image), 'image');
  if (!cut || cut.features.length === 1) return cut; // no key or value is frozen
  const options = { ...image, items: 'batch' } as const;
  const byQuestion = lossGraph('batch');
  const moved = adaptersToQuerySide(byQuestion, keptBy(byQuestion, options));
  return wholeEncoder(frozenCut(moved, options), 'imageOfQuestion');
}

/** A cut that keeps the whole image encoder: of a noisy one only the first layers could be kept. */
const wholeEncoder = (cut: FrozenCut | undefined, per: FeatureOwner): MissCut | undefined =>
  cut && !cut.rest.parameters.some((p) => p.name.startsWith('visual_encoder.')) ? { ...cut, per } : undefined;
