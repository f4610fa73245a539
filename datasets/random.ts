/** @file Random numbers as functions of names: no state, so that order, batch and resume cannot change them. */

/**
 * 32-bit hash of a sequence of words (murmur3's mixing).
 *
 * Strings are hashed over their UTF-16 units, numbers over their low 32 bits.
 * @example hash32(seed, 'dropout', qid, epoch) // uint32
 */
export function hash32(...words: readonly (number | string)[]): number {
  let h = 0x9747b28c;
  let length = 0;
  const add = (word: number) => {
    let k = Math.imul(word, 0xcc9e2d51);
    k = (k << 15) | (k >>> 17);
    h ^= Math.imul(k, 0x1b873593);
    h = Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64;
    length += 1;
  };
  for (const word of words) {
    if (typeof word === 'number') add(word | 0);
    else {
      for (let i = 0; i < word.length; i++) add(word.charCodeAt(i));
      add(word.length);
    }
  }
  h ^= length;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** A uniform number in [0, 1) that depends on `words` alone. */
export const uniform = (...words: readonly (number | string)[]): number => hash32(...words) / 2 ** 32;

/** A copy of `items` in an order that depends on `words` alone (Fisher-Yates). */
export function shuffled<T>(items: readonly T[], ...words: readonly (number | string)[]): T[] {
  const result = [...items];
  const seed = hash32(...words);
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(uniform(seed, i) * (i + 1));
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}
