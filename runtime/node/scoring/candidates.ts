/** @file The answers that rank mode chooses from. */
import { extname } from 'node:path';
import { normaliseAnswer } from '../../../datasets/scoring/normalise-answer.js';
import type { VqaTokenizer } from '../../../datasets/tokenizer.js';
import { FileError } from '../../../graph-builder/errors.js';
import { readFile, readJson } from '../../../training-artifacts/files.js';
import type { CandidateIds } from '../../core/likelihood.js';

const REMEDY = 'give a text file with an answer a line, a JSON list of strings, or the word train';

/** @throws {FileError} when the file cannot be read, or is no list of answers. */
function readAnswers(path: string): string[] {
  if (extname(path).toLowerCase() !== '.json') return readFile(path).toString('utf8').split('\n');
  const list = readJson(path);
  if (Array.isArray(list) && list.every((a) => typeof a === 'string' || typeof a === 'number')) {
    return list.map(String);
  }
  throw new FileError('the JSON is no list of answers', path, REMEDY);
}

/**
 * Candidate answers as the decoder takes them, without its begin token; answers that read alike are one.
 *
 * @param source a file, or `train`: the distinct answers of the training questions.
 * @throws {FileError} when there are none.
 */
export async function loadCandidates(
  source: string,
  trainAnswers: () => Promise<readonly string[]>,
  tokenizer: VqaTokenizer,
  maxTokens: number,
): Promise<CandidateIds[]> {
  const answers = source === 'train' ? await trainAnswers() : readAnswers(source);
  const distinct = new Map<string, CandidateIds>();
  for (const answer of answers) {
    const trimmed = answer.trim();
    if (normaliseAnswer(trimmed) === '') continue;
    const ids = tokenizer.encodeAnswer(trimmed, maxTokens).ids.slice(1);
    distinct.set(ids.join(), ids);
  }
  if (distinct.size > 0) return [...distinct.values()];
  throw new FileError('there are no candidate answers', source, REMEDY);
}
