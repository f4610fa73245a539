/** @file Adapters of other bases are refused, naming what does not fit. */
import { expect, test } from 'vitest';
import { FileError } from '../../../graph-builder/errors.js';
import { fitAdapter } from '../../../training-artifacts/adapters/fit-adapter.js';
import { readAdapterFolder } from '../../../training-artifacts/adapters/peft-folder.js';
import { type Adapter, noAdapter } from '../../../training-artifacts/adapters/stored-adapter.js';
import { goldenConfig, oracle } from '../../support/golden.js';
import { goldenContents } from './support.js';

const golden = (name: string): Adapter => readAdapterFolder(oracle(`peft/${name}`));
/** A T/T/P adapter: the text decoder by LoRA, the others whole. */
const wholes = (): Adapter => {
  const { variant, tensors } = goldenContents('T/T/P');
  return { modules: variant.modules, tensors, baseModels: [] };
};
const without = (adapter: Adapter, pattern: RegExp): Adapter => ({
  ...adapter,
  tensors: new Map([...adapter.tensors].filter(([name]) => !pattern.test(name))),
});

test.each(['golden', 'golden-ia3', 'golden-dora', 'golden-ptv2', 'golden-prefix', 'golden-whole'])(
  '%s fits the base that it was made for',
  (name) => {
    const adapter = golden(name);
    expect(fitAdapter(adapter, goldenConfig, 'x').modules).toEqual(adapter.modules);
  },
);

test('T modules and nothing at all fit, too', () => {
  expect(() => fitAdapter(wholes(), goldenConfig, 'x')).not.toThrow();
  expect(() => fitAdapter(noAdapter, goldenConfig, 'x')).not.toThrow();
});

test.each<[string, Adapter, object, RegExp]>([
  [
    'another width',
    golden('golden-whole'),
    { hidden: 32 },
    /lora_A\.weight is \[2,64\], it must be \[2,32\] to go with the base's text_.*(query|value)\.weight \[32,32\]/,
  ],
  [
    'fewer layers',
    golden('golden-ia3'),
    { textLayers: 1 },
    /the base has no text_encoder.*layer\.1.*: it has width 64, 1 text and 2 image layers/,
  ],
  [
    'other patches',
    golden('golden'),
    { patchSize: 16 },
    /lora_A\.weight is \[4,3,8,8\], it must be \[4,3,16,16\] .* \[64,3,16,16\]/,
  ],
  [
    'a prefix for fewer layers',
    golden('golden-ptv2'),
    { textLayers: 3 },
    /the prefix is for 2 layers of width 64, the base has width 64, 3 text/,
  ],
  [
    'a prefix for another width',
    golden('golden-prefix'),
    { hidden: 32 },
    /the prefix is for 2 layers of width 64/,
  ],
  [
    '(IA)3 of another width',
    golden('golden-ia3'),
    { intermediate: 96 },
    /ia3_l is \[1,128\], it must be \[1,96\] .*fc2\.weight \[64,96\]/,
  ],
  [
    'another vocabulary',
    wholes(),
    { vocab: 50 },
    /word_embeddings\.weight is \[97,64\], it must be \[50,64\]/,
  ],
  [
    'a rank that the base is too small for',
    golden('golden-dora'),
    { hidden: 4 },
    /does not fit the base: rank 4 is not below/,
  ],
  [
    'a tensor of a T module missing',
    without(wholes(), /blocks\.1\.norm2\.bias/),
    {},
    /no tensor visual_encoder\.blocks\.1\.norm2\.bias \[64\]/,
  ],
  [
    'T modules with layers too many',
    wholes(),
    { visionLayers: 1 },
    /the base has no visual_encoder\.blocks\.1/,
  ],
])('refuses %s', (_what, adapter, sizes, message) => {
  const fit = () => fitAdapter(adapter, { ...goldenConfig, ...sizes }, 'some/folder');
  expect(fit).toThrow(FileError);
  expect(fit).toThrow(message);
  expect(fit).toThrow(/where: some\/folder\n {2}to do: /);
});
