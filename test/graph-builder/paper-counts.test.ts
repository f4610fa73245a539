/** @file Parameter counts of the paper's rows, to the unit. */
import { expect, test } from 'vitest';
import { presets } from '../../graph-builder/models/config.js';
import { lossGraph } from '../../graph-builder/models/miss.js';
import { applyVariant, countParameters, parseVariant } from '../../graph-builder/variant.js';

const base = lossGraph(presets['miss-base']);

test('miss-base has the parameters of the reference model', () => {
  const { total, modules } = countParameters(base);
  expect(total).toBe(361_478_972);
  expect(modules.visual_encoder.total).toBe(86_339_328);
  expect(modules.text_encoder.total).toBe(137_258_496);
  expect(modules.text_decoder.total).toBe(137_881_148);
});

// Source: Table 1 of the paper; trainable / total reproduce its percentages to three decimals.
test.each([
  ['lora-r4', 'F/P/P', 589_824, 362_068_796, 0.163],
  ['lora-r8', 'F/P/P', 1_179_648, 362_658_620, 0.325],
  ['lora-r4', 'P/P/P', 1_185_792, 362_664_764, 0.327],
  ['lora-r8', 'P/P/P', 2_371_584, 363_850_556, 0.652],
  ['lora-r4', 'F/T/P', 137_553_408, 361_773_884, 38.022],
  ['lora-r8', 'F/T/P', 137_848_320, 362_068_796, 38.072],
  ['lora-r4', 'T/P/P', 86_929_152, 362_068_796, 24.009],
  ['lora-r8', 'T/P/P', 87_518_976, 362_658_620, 24.133],
  ['lora-r4', 'T/T/P', 223_892_736, 361_773_884, 61.887],
  ['lora-r8', 'T/T/P', 224_187_648, 362_068_796, 61.919],
])('%s at %s', (name, placement, trainable, total, percent) => {
  const variant = parseVariant(name, base.parameters, { placement });
  const counts = countParameters(applyVariant(base, variant, 'evaluation'));
  expect(counts.trainable).toBe(trainable);
  expect(counts.total).toBe(total);
  // the paper cuts or rounds its last digit
  expect(Math.abs(counts.percent - percent)).toBeLessThan(0.001);
});
