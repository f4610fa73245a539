/** @file LoRA's loss and gradients against Hugging Face PEFT on BlipForQuestionAnswering. */
import { expect, test } from 'vitest';
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { verify } from '../../graph-builder/ir/graph.js';
import { lossGraph } from '../../graph-builder/models/miss.js';
import { applyVariant, parseVariant } from '../../graph-builder/variant.js';
import { floats } from '../../runtime/core/session.js';
import { goldenConfig, goldenFeeds, norm, openGraph, readTensors } from '../support/golden.js';

const base = lossGraph(goldenConfig);
const weights = { ...readTensors('blip/weights.safetensors'), ...readTensors('lora/adapters.safetensors') };

test.each(['F/P/P', 'P/P/P', 'F/T/P', 'T/P/P', 'T/T/P'])('lora-r4 at %s', async (placement) => {
  const expected = readTensors(`lora/expected-${placement.replaceAll('/', '-')}.safetensors`);
  const variant = parseVariant('lora-r4', base.parameters, { placement });
  const forward = applyVariant(base, variant, 'evaluation');
  const session = await openGraph(verify(differentiate(forward, { loss: forward.outputs.loss! })));
  const results = await session.run({ ...weights, ...goldenFeeds() });
  expect(Math.abs(floats(results.loss)[0]! - floats(expected.loss)[0]!)).toBeLessThan(1e-4);
  const names = Object.keys(expected).filter((name) => name.startsWith('grad.'));
  expect(names.length).toBeGreaterThan(0);
  const total = norm(names.flatMap((name) => Array.from(floats(expected[name]))));
  for (const name of names) {
    const reference = floats(expected[name]);
    const ours = floats(results[`${name.slice('grad.'.length)}.grad`]);
    const difference = norm(ours.map((v, i) => v - reference[i]!));
    expect(difference, name).toBeLessThanOrEqual(1e-4 * norm(reference) + 1e-6 * total);
  }
});
