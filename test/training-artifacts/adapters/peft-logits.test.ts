/** @file What PEFT saved gives PEFT's logits (test/oracles/peft/logits.safetensors). */
import { expect, test } from 'vitest';
import { logitsGraph } from '../../../graph-builder/models/miss.js';
import { applyVariant } from '../../../graph-builder/variant/variant.js';
import { float32, floats } from '../../../runtime/core/session.js';
import { fitAdapter } from '../../../training-artifacts/adapters/fit-adapter.js';
import { readAdapterFolder } from '../../../training-artifacts/adapters/peft-folder.js';
import { noAdapter } from '../../../training-artifacts/adapters/stored-adapter.js';
import { goldenConfig, goldenFeeds, openGraph, oracle, readTensors } from '../../support/golden.js';

const expected = readTensors('peft/logits.safetensors');
const mask = Array.from(readTensors('blip/inputs.safetensors').decoder_attention_mask!.data, Number);

test.each(Object.keys(expected))('%s', async (name) => {
  const adapter = name === 'base' ? noAdapter : readAdapterFolder(oracle(`peft/${name}`));
  const variant = fitAdapter(adapter, goldenConfig, name);
  const session = await openGraph(applyVariant(logitsGraph(goldenConfig), variant, 'evaluation'));
  const trained = [...adapter.tensors].map(([n, { shape, data }]) => [n, float32(data, shape)] as const);
  const { logits } = await session.run({ ...Object.fromEntries(trained), ...goldenFeeds() });
  await session.release();
  const [ours, theirs] = [floats(logits), floats(expected[name])];
  expect(ours.length).toBe(theirs.length);
  const seen = Array.from(theirs.keys()).filter((i) => mask[Math.floor(i / goldenConfig.vocab)] === 1);
  const most = seen.reduce((m, i) => Math.max(m, Math.abs(ours[i]! - theirs[i]!)), 0);
  expect(most).toBeLessThan(1e-4);
});
