/** @file Reads the tokenizer file in Node. */
import { join } from 'node:path';
import { z } from 'zod';
import { packageRoot } from './package-root.js';
import { readJson } from './read-json.js';
import { createTokenizer, type VqaTokenizer } from './tokenizer.js';

const tokenizerSchema = z.looseObject({ model: z.looseObject({ type: z.literal('WordPiece') }) });

/**
 * @param path default: the shipped tokenizer.json.
 * @throws {FileError} when the file is missing, damaged or not a WordPiece tokenizer.
 */
export function loadTokenizer(
  path = join(packageRoot(), 'datasets', 'bert-base-uncased', 'tokenizer.json'),
): VqaTokenizer {
  return createTokenizer(readJson(path, tokenizerSchema, 'reinstall the package, or give a tokenizer.json'));
}
