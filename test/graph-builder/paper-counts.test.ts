/** @file Parameter counts of the paper's rows, to the unit. */
import { expect, test } from 'vitest';
import { presets } from '../../graph-builder/models/config.js';
import { lossGraph } from '../../graph-builder/models/miss.js';
import { paperRows } from '../../graph-builder/variant/paper-rows.js';
import { parseVariant } from '../../graph-builder/variant/parse.js';
import { applyVariant, countParameters } from '../../graph-builder/variant/variant.js';

const base = lossGraph(presets['miss-base']);

test('miss-base has the parameters of the reference model', () => {
  const { total, modules } = countParameters(base);
  expect(total).toBe(361_478_972);
  expect(modules.visual_encoder.total).toBe(86_339_328);
  expect(modules.text_encoder.total).toBe(137_258_496);
  expect(modules.text_decoder.total).toBe(137_881_148);
});

/** Source: trainable and total numbers that reproduce the percentages of Tables 1 to 4 to three decimals. */
const counts: Readonly<Record<string, readonly [trainable: number, total: number]>> = {
  'lora-r4 F/P/P': [589_824, 362_068_796],
  'lora-r8 F/P/P': [1_179_648, 362_658_620],
  'lora-r4 P/P/P': [1_185_792, 362_664_764],
  'lora-r8 P/P/P': [2_371_584, 363_850_556],
  'lora-r4 F/T/P': [137_553_408, 361_773_884],
  'lora-r8 F/T/P': [137_848_320, 362_068_796],
  'lora-r4 T/P/P': [86_929_152, 362_068_796],
  'lora-r8 T/P/P': [87_518_976, 362_658_620],
  'lora-r4 T/T/P': [223_892_736, 361_773_884],
  'lora-r8 T/T/P': [224_187_648, 362_068_796],
  'prefix-n10 F/F/P': [14_772_480, 376_251_452],
  'prefix-n10 F/P/P': [29_544_960, 391_023_932],
  'prefix-n10 T/P/P': [115_884_288, 391_023_932],
  'prefix-n10 T/T/P': [238_370_304, 376_251_452],
  'ia3 F/P/P': [184_320, 361_663_292],
  'ia3 P/P/P': [221_184, 361_700_156],
  'ia3 T/P/P': [86_523_648, 361_663_292],
  'ia3 F/T/P': [137_350_656, 361_571_132],
  'ia3 T/T/P': [223_689_984, 361_571_132],
  'ptv2-n10 F/F/P': [184_320, 361_663_292],
  'ptv2-n10 F/P/P': [368_640, 361_847_612],
  'ptv2-n10 T/P/P': [86_707_968, 361_847_612],
  'ptv2-n10 T/T/P': [223_782_144, 361_663_292],
};

test.each(paperRows)('$variant at $placement', ({ variant: name, placement, percent }) => {
  const variant = parseVariant(name, base.parameters, { placement });
  const { trainable, total, ...found } = countParameters(applyVariant(base, variant, 'evaluation'));
  expect([trainable, total]).toEqual(counts[`${name} ${placement}`]);
  // the paper cuts or rounds its last digit
  expect(Math.abs(found.percent - percent)).toBeLessThan(0.001);
});

test('the other form of (IA)3 in the ViT has the same count', () => {
  const variant = parseVariant('ia3', base.parameters, { placement: 'P/P/P', sites: 'vit-attention' });
  expect(countParameters(applyVariant(base, variant, 'evaluation')).trainable).toBe(221_184);
});
