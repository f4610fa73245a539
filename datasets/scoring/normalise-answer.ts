/** @file When two answers are the same. */

/**
 * The form in which answers are compared.
 *
 * Case, accents, blanks beside punctuation and full stops at the end do not count: the tokenizer of the
 * model drops the first two and puts blanks around all punctuation ("x - ray").
 * @example normaliseAnswer(' X - ray. ') // 'x-ray'
 */
export function normaliseAnswer(text: string): string {
  return text
    .normalize('NFD')
    .replace(/\p{Mn}/gu, '')
    .toLowerCase()
    .replace(/\s+/gu, ' ')
    .replace(/ ?([\p{P}\p{S}]) ?/gu, '$1')
    .replace(/[\s.]+$/u, '')
    .trim();
}

/**
 * The words of an answer, as they stood before the tokenizer put blanks around punctuation; case, accents and full
 * stops at the end do not count.
 * @example answerWords('x - ray, of the chest.') // ['x-ray,', 'of', 'the', 'chest']
 */
export const answerWords = (text: string): string[] =>
  text
    .normalize('NFD')
    .replace(/\p{Mn}/gu, '')
    .toLowerCase()
    .replace(/\s+([-/'\u2019])\s+/gu, '$1')
    .replace(/(\d)\s*\.\s+(?=\d)/g, '$1.')
    .replace(/\s+([,.;:?!)])/g, '$1')
    .replace(/[\s.]+$/u, '')
    .split(/\s+/)
    .filter((word) => word !== '');

/** Exact match after normalisation. */
export const isSameAnswer = (a: string, b: string): boolean => normaliseAnswer(a) === normaliseAnswer(b);

/** A question is a yes/no question when its reference answer is yes or no. */
export const isYesNo = (answer: string): boolean => /^(yes|no)$/.test(normaliseAnswer(answer));
