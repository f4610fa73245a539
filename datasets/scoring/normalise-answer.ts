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

/** Exact match after normalisation. */
export const isSameAnswer = (a: string, b: string): boolean => normaliseAnswer(a) === normaliseAnswer(b);

/** A question is a yes/no question when its reference answer is yes or no. */
export const isYesNo = (answer: string): boolean => /^(yes|no)$/.test(normaliseAnswer(answer));
