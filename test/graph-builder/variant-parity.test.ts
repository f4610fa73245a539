/** @file Loss and gradients of every row of the paper's tables against Hugging Face BLIP with PEFT, in float64. */
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { verify } from '../../graph-builder/ir/graph.js';
import { lossGraph } from '../../graph-builder/models/miss.js';
import { paperRows } from '../../graph-builder/variant/paper-rows.js';
import { parseVariant } from '../../graph-builder/variant/parse.js';
import { applyVariant } from '../../graph-builder/variant/variant.js';
import { floats } from '../../runtime/core/session.js';
import { goldenConfig, goldenFeeds, norm, openGraph, oracle, readTensors } from '../support/golden.js';
import { variantTensors } from '../support/variants.js';

const base = lossGraph(goldenConfig);
const weights = readTensors('blip/weights.safetensors');

const rows = [
  ...paperRows.map(({ variant, placement }) => [variant, placement] as const),
  ['rslora-r4', 'F/P/P'],
  ['dora-r4', 'F/P/P'],
  ['dora-r4', 'P/P/P'],
] as const;

/** The golden file of a row: that of LoRA r 4 lies with the oracle that was made first. */
function expectedOf(variant: string, placement: string): string {
  const name = `expected-${placement.replaceAll('/', '-')}.safetensors`;
  return variant === 'lora-r4'
    ? `lora/${name}`
    : `variants/${name.replace('expected', `expected-${variant}`)}`;
}

test('all 23 rows have a golden file', () => {
  expect(paperRows).toHaveLength(23);
  for (const { variant, placement } of paperRows)
    expect(existsSync(oracle(expectedOf(variant, placement))), `${variant} ${placement}`).toBe(true);
});

describe('loss and every trainable gradient', () => {
  test.each(rows)('%s at %s', async (name, placement) => {
    const expected = readTensors(expectedOf(name, placement));
    const variant = parseVariant(name, base.parameters, { placement });
    const forward = verify(applyVariant(base, variant, 'evaluation'));
    const graph = verify(differentiate(forward, { loss: forward.outputs.loss! }));
    const session = await openGraph(graph);
    const results = await session.run({ ...weights, ...variantTensors(name), ...goldenFeeds() });
    expect(Math.abs(floats(results.loss)[0]! - floats(expected.loss)[0]!)).toBeLessThan(1e-4);
    const names = Object.keys(expected).filter((n) => n.startsWith('grad.'));
    const trainable = forward.parameters.filter((p) => p.trainable).map((p) => `grad.${p.name}`);
    expect(names.sort()).toEqual(trainable.sort());
    const total = norm(names.flatMap((n) => Array.from(floats(expected[n]))));
    for (const n of names) {
      const reference = floats(expected[n]);
      const ours = floats(results[`${n.slice('grad.'.length)}.grad`]);
      const difference = norm(ours.map((v, i) => v - reference[i]!));
      expect(difference, n).toBeLessThanOrEqual(1e-4 * norm(reference) + 1e-6 * total);
    }
    await session.release();
  });
});
