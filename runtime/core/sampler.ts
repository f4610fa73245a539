/** @file The order of an epoch: a function of the seed and the epoch. */
import { shuffled, uniform } from '../../datasets/random.js';
import type { Sample } from './batch.js';

/**
 * All samples in random order, in runs of up to `questionsPerImage` questions on one image: a batch then holds
 * fewer distinct images, and the image encoder runs once for each. 1 = plain shuffling.
 */
export function epochOrder(
  samples: readonly Sample[],
  questionsPerImage: number,
  seed: number,
  epoch: number,
): Sample[] {
  if (questionsPerImage === 1) return shuffled(samples, seed, 'order', epoch);
  const byImage = new Map<string, Sample[]>();
  for (const sample of shuffled(samples, seed, 'order', epoch)) {
    byImage.set(sample.imageId, [...(byImage.get(sample.imageId) ?? []), sample]);
  }
  const runs = [...byImage.values()].flatMap((own) =>
    Array.from({ length: Math.ceil(own.length / questionsPerImage) }, (_, i) =>
      own.slice(i * questionsPerImage, (i + 1) * questionsPerImage),
    ),
  );
  return shuffled(runs, seed, 'runs', epoch).flat();
}

/** The sample as it is asked in an epoch: with one of its wordings, a function of the seed, the epoch and the qid. */
export function drawWording(sample: Sample, seed: number, epoch: number): Sample {
  const { wordings, qid } = sample;
  if (!wordings) return sample;
  return {
    ...sample,
    questionIds: wordings[Math.floor(uniform(seed, 'wording', epoch, qid) * wordings.length)]!,
  };
}
