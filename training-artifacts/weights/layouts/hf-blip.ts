/** @file Hugging Face's BlipForQuestionAnswering; the table of names is the one of the adapters. */
import { hfPath } from '../../adapters/hf-names.js';
import { type Layout, tiedHead } from './layout.js';

const folders = {
  visual_encoder: 'vision_model',
  text_encoder: 'text_encoder',
  text_decoder: 'text_decoder',
} as const;

/** A parameter's name in BlipForQuestionAnswering. */
export function hfBlipName(target: string): string {
  const found = hfPath(target);
  if (!found) throw new Error(`internal: ${target} has no place in HF BLIP`);
  return `${folders[found.module]}.${found.path}`;
}

export const hfBlip: Layout = {
  name: 'HF BLIP',
  // CLIP's vision_model has other names from here on
  signatures: ['vision_model.encoder.layers.0.self_attn.qkv.weight'],
  recipes: (target) => [[hfBlipName(target)]],
  tied: tiedHead('text_decoder.bert.embeddings.word_embeddings.weight', 'text_decoder.'),
  normalisation: 'clip',
};
