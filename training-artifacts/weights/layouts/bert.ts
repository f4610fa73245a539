/** @file BERT, as Hugging Face and sentence-transformers save it: both text bodies are made of it. */
import { type Layout, type Recipe, tiedHead } from './layout.js';

/** text_encoder.X and text_decoder.bert.X → X; the decoder's head has BERT's name. */
function plainName(target: string): string | undefined {
  if (target.includes('crossattention')) return undefined;
  const found = /^(?:text_encoder\.|text_decoder\.bert\.|text_decoder\.(?=cls\.))(.+)$/.exec(target);
  return found?.[1];
}

/** Of 2018: files converted from TensorFlow. */
const oldName = (name: string): string =>
  name.replace(/LayerNorm\.weight$/, 'LayerNorm.gamma').replace(/LayerNorm\.bias$/, 'LayerNorm.beta');

function recipes(target: string): readonly Recipe[] {
  const name = plainName(target);
  if (name === undefined) return [];
  // inside BertModel alone, and beside a head
  return [name, `bert.${name}`].flatMap((n) => [[n], [oldName(n)]]);
}

const words = 'embeddings.word_embeddings.weight';

export const bert: Layout = {
  name: 'HF BERT',
  signatures: [words, `bert.${words}`],
  recipes,
  added: (target) =>
    target.endsWith('embeddings.position_embeddings.weight')
      ? ['embeddings.token_type_embeddings.weight', 'bert.embeddings.token_type_embeddings.weight']
      : [],
  tied: tiedHead(`bert.${words}`, ''),
  notes: ['one BERT fills both text modules; it has no cross-attention, which starts at its initial values'],
};
