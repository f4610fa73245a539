/** @file Loss, logits and every base gradient against Hugging Face's BlipForQuestionAnswering. */
import { expect, test } from 'vitest';
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { verify } from '../../graph-builder/ir/graph.js';
import { imageEncoderGraph, logitsGraph, lossGraph } from '../../graph-builder/models/miss.js';
import { setTrainable } from '../../graph-builder/rewrites/freeze.js';
import { floats } from '../../runtime/core/session.js';
import { goldenConfig, goldenFeeds, maxDifference, norm, openGraph, readTensors } from '../support/golden.js';

const expected = readTensors('blip/expected.safetensors');

test('image tokens equal HF BLIP', async () => {
  const session = await openGraph(verify(imageEncoderGraph(goldenConfig)));
  const { image_states } = await session.run(goldenFeeds());
  expect(maxDifference(floats(image_states), floats(expected.image_embeds))).toBeLessThan(1e-4);
});

test('teacher-forced logits equal HF BLIP', async () => {
  const session = await openGraph(verify(logitsGraph(goldenConfig)));
  const { logits } = await session.run(goldenFeeds());
  expect(maxDifference(floats(logits), floats(expected.logits))).toBeLessThan(1e-4);
});

test('the loss and the gradient of every base parameter equal PyTorch in float64', async () => {
  const forward = verify(setTrainable(lossGraph(goldenConfig), () => true));
  const graph = verify(differentiate(forward, { loss: forward.outputs.loss! }));
  const session = await openGraph(graph);
  const weights = readTensors('blip/weights.safetensors');
  const results = await session.run({ ...weights, ...goldenFeeds() });
  expect(Math.abs(floats(results.loss)[0]! - floats(expected.loss)[0]!)).toBeLessThan(1e-4);
  const names = Object.keys(expected).filter((name) => name.startsWith('grad.'));
  expect(names.length).toBe(graph.parameters.length);
  const total = norm(names.flatMap((name) => Array.from(floats(expected[name]))));
  for (const name of names) {
    const reference = floats(expected[name]);
    const ours = floats(results[`${name.slice('grad.'.length)}.grad`]);
    const difference = norm(ours.map((v, i) => v - reference[i]!));
    expect(difference, name).toBeLessThanOrEqual(1e-4 * norm(reference) + 1e-6 * total);
  }
});
