/** @file The order of an epoch. */
import { expect, test } from 'vitest';
import type { Sample } from '../../../runtime/core/batch.js';
import { epochOrder } from '../../../runtime/core/sampler.js';

// 13 images with 1 to 7 questions
const samples: Sample[] = Array.from({ length: 13 }, (_, image) =>
  Array.from({ length: 1 + (image % 7) }, (_, q) => ({
    qid: `${image}-${q}`,
    imageId: `i${image}`,
    questionIds: [],
    answerIds: [],
  })),
).flat();
const qids = (perImage: number, seed = 0, epoch = 0, of = samples) =>
  epochOrder(of, perImage, seed, epoch).map((s) => s.qid);
const sorted = (names: readonly string[]) => [...names].sort();

test.each([1, 2, 4, 100])(
  '%i questions an image: a permutation, no function of anything but seed and epoch',
  (n) => {
    const first = qids(n);
    expect(sorted(first)).toEqual(sorted(samples.map((s) => s.qid)));
    expect(first).not.toEqual(samples.map((s) => s.qid));
    qids(n, 0, 1); // an order drawn in between changes nothing
    expect(qids(n)).toEqual(first);
    const others = [qids(n, 1), qids(n, 0, 1), qids(n, 1, 1)];
    expect(new Set([first, ...others].map((o) => o.join())).size).toBe(4);
    expect(samples[0]!.qid).toBe('0-0'); // the input is not shuffled in place
  },
);

test.each([2, 3, 4, 100])('questions on an image stand in runs of %i', (n) => {
  const order = epochOrder(samples, n, 5, 2).map((s) => s.imageId);
  const runs = order.reduce<{ id: string; length: number }[]>((all, id) => {
    const last = all.at(-1);
    if (last?.id === id) last.length += 1;
    else all.push({ id, length: 1 });
    return all;
  }, []);
  for (let image = 0; image < 13; image++) {
    const own = runs.filter((r) => r.id === `i${image}`);
    // neighbouring runs may be of one image, so there are at most as many as needed
    expect(own.length).toBeLessThanOrEqual(Math.ceil((1 + (image % 7)) / n));
  }
  const images = [...new Set(order)];
  expect(images).not.toEqual(sorted(images)); // images themselves are shuffled
});
