/**
 * @file Script: makes the shipped tokenizer.json from the published one.
 *
 *   node .build/datasets/bert-base-uncased/prepare.js <published tokenizer.json> [<output file>]
 *
 * Truncation and padding are switched off and the two tokens of BLIP-like decoders are added.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../../graph-builder/errors.js';
import { packageRoot } from '../package-root.js';

const [published, out = join(packageRoot(), 'datasets', 'bert-base-uncased', 'tokenizer.json')] =
  process.argv.slice(2);
if (!published) throw new UserError('no file given', 'argument 1', 'give the published tokenizer.json');

const json = JSON.parse(await readFile(published, 'utf8'));
const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
const added = [
  { id: 30522, content: '[DEC]', ...flags },
  { id: 30523, content: '[ENC]', ...flags },
];
const changed = {
  ...json,
  truncation: null,
  padding: null,
  added_tokens: [...json.added_tokens, ...added],
};
await writeFile(out, `${JSON.stringify(changed)}\n`);
