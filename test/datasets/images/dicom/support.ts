import { uniform } from '../../../../datasets/random.js';

/** Uniform numbers, the same ones each time. */
export function seededUniform(seed: number): () => number {
  let n = 0;
  return () => uniform(seed, n++);
}
