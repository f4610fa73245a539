/** @file Where MISS can be cut: what may be kept of its image encoder and JTM encoder. */
import { product } from '../ir/dim.js';
import type { Graph } from '../ir/types.js';
import type { CutOptions, Feature, FrozenCut } from '../rewrites/frozen-cut.js';
import { frozenCut } from '../rewrites/frozen-cut.js';

/**
 * vit: the image encoder's output, an image.
 * kv:  also the frozen key and value products of cross-attention, an image; with a frozen JTM encoder the
 *      question's states instead, a question.
 */
export const cutLevels = ['vit', 'kv'] as const;
export type CutLevel = (typeof cutLevels)[number];

export interface MissCut extends FrozenCut {
  /** what a row of features belongs to */
  readonly per: 'image' | 'question';
}

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

/** Cuts a loss graph; undefined when the image encoder is not frozen, or has dropout. */
export function cutMiss(graph: Graph, level: CutLevel): MissCut | undefined {
  const isImageEncoder = { parameters: (p: { name: string }) => p.name.startsWith('visual_encoder.') };
  if (level === 'vit') {
    const cut = frozenCut(graph, { ...image, ...isImageEncoder });
    return cut && reachesOutput(cut) ? { ...cut, per: 'image' } : undefined;
  }
  const trained = (module: string) =>
    graph.parameters.some((p) => p.trainable && p.name.startsWith(`${module}.`));
  if (trained('visual_encoder')) return undefined;
  if (!trained('text_encoder')) {
    const cut = frozenCut(graph, question);
    if (cut?.features.every(isByToken)) return { ...cut, per: 'question' };
  }
  const cut = frozenCut(graph, image);
  return cut && reachesOutput(cut) ? { ...cut, per: 'image' } : undefined;
}

/** Whether the whole image encoder is kept: with a noisy one only its first layers could be. */
const reachesOutput = ({ rest }: FrozenCut): boolean =>
  !rest.parameters.some((p) => p.name.startsWith('visual_encoder.'));
