import { writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadTokenizer } from '../../datasets/load-tokenizer.js';
import { createTokenizer, decId, encId, sepId } from '../../datasets/tokenizer.js';
import { FileError, UserError } from '../../graph-builder/errors.js';
import { readGolden } from './read-golden.js';

interface Golden {
  text: string;
  question: number[];
  answer: number[];
  decoded: string;
}
// Made by make-tokenizer-golden.py with transformers' BertTokenizerFast.
const golden = readGolden<Golden[]>('tokenizer.golden.json', import.meta.url);
const tokenizer = loadTokenizer();

test.each(golden)('ids and text equal transformers for $text', ({ text, question, answer, decoded }) => {
  expect(tokenizer.encodeQuestion(text, 35).ids).toEqual(question);
  expect(tokenizer.encodeAnswer(text, 10).ids).toEqual(answer);
  // The library joins a lone apostrophe to its neighbours, as BERT's own clean-up does; transformers 5 does not.
  expect(tokenizer.decode(question)).toBe(decoded.replaceAll(" ' ", "'"));
});

test('a long question is cut, says so, and still ends with [SEP]', () => {
  const { ids, truncated } = tokenizer.encodeQuestion(`is it ${'very '.repeat(60)}large?`);
  expect(truncated).toBe(true);
  expect(ids).toHaveLength(35);
  expect([ids[0], ids.at(-1)]).toEqual([encId, sepId]);
});

test('a question that just fits is not cut', () => {
  const words = (n: number) => tokenizer.encodeQuestion('very '.repeat(n), 35);
  expect(words(33)).toMatchObject({ truncated: false, ids: { length: 35 } });
  expect(words(34)).toMatchObject({ truncated: true, ids: { length: 35 } });
  expect(tokenizer.encodeAnswer('left lower lobe', 5).truncated).toBe(false);
  expect(tokenizer.encodeAnswer('left lower lobe', 4)).toEqual({
    ids: [decId, 2187, 2896, sepId],
    truncated: true,
  });
});

test('<image> is dropped wherever it stands', () => {
  const plain = tokenizer.encodeQuestion('is there a mass?').ids;
  for (const text of ['<image>\nis there a mass?', 'is there a mass?<image>', 'is there<image>a mass?']) {
    expect(tokenizer.encodeQuestion(text).ids).toEqual(plain);
  }
});

test.each(['', '  \n', '<image>', ' <image> <image>'])('question %j is refused', (text) => {
  expect(() => tokenizer.encodeQuestion(text)).toThrow(/the question is empty[\s\S]*ask something/);
});

test('a tokenizer without [DEC] and [ENC] is refused with the ids', () => {
  const bare = {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model: { type: 'WordPiece', unk_token: '[UNK]', vocab: { '[PAD]': 0, '[UNK]': 1 } },
  };
  expect(() => createTokenizer(bare)).toThrow(UserError);
  expect(() => createTokenizer(bare)).toThrow(/\[SEP\] has id undefined, the model needs 102/);
});

test('a truncated tokenizer file is named', async () => {
  const path = join(await mkdtemp(join(tmpdir(), 'tokenizer-')), 'tokenizer.json');
  writeFileSync(path, '{"model": {"type": "Wor');
  expect(() => loadTokenizer(path)).toThrow(FileError);
  expect(() => loadTokenizer(path)).toThrow(path);
});
