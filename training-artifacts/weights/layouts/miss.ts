/** @file The names of the reference: MISS and the BLIP code that it builds on. They are ours. */
import { type Layout, tiedHead } from './layout.js';

export const miss: Layout = {
  name: 'MISS or BLIP',
  signatures: [
    'visual_encoder.patch_embed.proj.weight',
    'text_encoder.embeddings.word_embeddings.weight',
    'text_decoder.bert.embeddings.word_embeddings.weight',
  ],
  recipes: (target) => [[target]],
  tied: tiedHead('text_decoder.bert.embeddings.word_embeddings.weight', 'text_decoder.'),
  normalisationHint: 'clip for BLIP, reference for MISS',
};
