/** @file Text to token ids and back: BERT's WordPiece with the two start tokens of the model. */
import { Tokenizer } from '@huggingface/tokenizers';
import { UserError } from '../graph-builder/errors.js';

/** Ids of bert-base-uncased, and of the two tokens added behind its 30,522. */
export const padId = 0;
export const sepId = 102;
/** Starts an answer. */
export const decId = 30522;
/** Starts a question, in place of [CLS]. */
export const encId = 30523;
export const vocabSize = 30524;

export interface Encoded {
  readonly ids: number[];
  /** Words at the end were cut off. */
  readonly truncated: boolean;
}

export interface VqaTokenizer {
  /**
   * [ENC] w1 … wn [SEP], at most `maxTokens` ids, the closing [SEP] always among them.
   * A placeholder `<image>`, as instruction data have it, is dropped first.
   * @throws {UserError} when no text is left.
   */
  encodeQuestion(text: string, maxTokens?: number): Encoded;
  /** [DEC] w1 … wn [SEP], at most `maxTokens` ids, the closing [SEP] always among them. */
  encodeAnswer(text: string, maxTokens: number): Encoded;
  /** The text of ids, without special tokens, in lower case and with blanks as WordPiece leaves them. */
  decode(ids: readonly number[]): string;
}

/** Question length of the model on VQA-RAD; instruction data need 128. */
const QUESTION_TOKENS = 35;

/**
 * @param json the content of a `tokenizer.json` with [DEC] and [ENC].
 * @throws {UserError} when it has other ids than the model's.
 *
 * @example createTokenizer(json).encodeQuestion('x-ray?').ids // [30523, 1060, 1011, 4097, 1029, 102]
 */
export function createTokenizer(json: object): VqaTokenizer {
  const tokenizer = new Tokenizer(json, {});
  const ids = { '[PAD]': padId, '[SEP]': sepId, '[DEC]': decId, '[ENC]': encId };
  for (const [token, id] of Object.entries(ids)) {
    const found = tokenizer.token_to_id(token);
    if (found !== id) {
      const remedy = 'use the shipped datasets/bert-base-uncased/tokenizer.json';
      throw new UserError(`${token} has id ${found}, the model needs ${id}`, 'tokenizer.json', remedy);
    }
  }
  const encode = (start: number, text: string, maxTokens: number): Encoded => {
    if (maxTokens < 3) {
      throw new UserError(`${maxTokens} tokens leave no room for a word`, 'token limit', 'allow at least 3');
    }
    const words = tokenizer.encode(text, { add_special_tokens: false }).ids;
    const truncated = words.length + 2 > maxTokens;
    return { ids: [start, ...words.slice(0, maxTokens - 2), sepId], truncated };
  };
  return {
    encodeQuestion(text, maxTokens = QUESTION_TOKENS) {
      const question = text.replaceAll('<image>', ' ').trim();
      if (question === '') {
        throw new UserError('the question is empty', 'question', 'ask something about the image');
      }
      return encode(encId, question, maxTokens);
    },
    encodeAnswer: (text, maxTokens) => encode(decId, text, maxTokens),
    decode: (tokens) =>
      tokens.length === 0 ? '' : tokenizer.decode([...tokens], { skip_special_tokens: true }),
  };
}
