/** @file Adapter folders against the ones that PEFT saved (test/oracles/peft). */
import { cpSync, existsSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { FileError } from '../../../graph-builder/errors.js';
import { moduleNames } from '../../../graph-builder/models/config.js';
import type { Variant } from '../../../graph-builder/variant/variant.js';
import { readAdapterFolder, writeAdapterFolder } from '../../../training-artifacts/adapters/peft-folder.js';
import { readJson } from '../../../training-artifacts/files.js';
import {
  float32Tensor,
  type LazyTensor,
  withSafetensors,
  writeSafetensors,
} from '../../../training-artifacts/weights/safetensors-file.js';
import { maxDifference, oracle } from '../../support/golden.js';
import { goldenAdapters, goldenContents, temporaryFolder, variantContents } from './support.js';

type Config = Record<string, unknown> & {
  target_modules: string | string[];
  modules_to_save: string[] | null;
};
const configOf = (folder: string, module: string) =>
  readJson(join(folder, module, 'adapter_config.json')) as Config;
const weightsOf = (folder: string, module: string) =>
  withSafetensors(join(folder, module, 'adapter_model.safetensors'), (file) => ({
    metadata: file.header.metadata,
    shapes: Object.fromEntries([...file.header.tensors].map(([key, { shape }]) => [key, shape])),
    bytes: Object.fromEntries([...file.header.tensors.keys()].map((key) => [key, file.bytes(key)])),
  }));
const golden = oracle('peft/golden');

function written(placement: string): string {
  const folder = temporaryFolder();
  writeAdapterFolder(folder, goldenContents(placement));
  return folder;
}

/** Modules with their sites in one order. */
const sorted = (modules: Variant['modules']) =>
  Object.fromEntries(
    Object.entries(modules).map(([m, t]) => [
      m,
      'sites' in t
        ? {
            ...t,
            sites: [...t.sites].sort(),
            ...('feedforward' in t && { feedforward: [...t.feedforward].sort() }),
          }
        : t,
    ]),
  );

test('reads what PEFT wrote', () => {
  const { modules, tensors } = readAdapterFolder(golden);
  for (const tuning of Object.values(modules))
    expect(tuning).toMatchObject({ method: 'lora', kind: 'lora', rank: 4, alpha: 32 });
  expect(Object.values(modules).flatMap((t) => ('sites' in t ? t.sites : []))).toHaveLength(25);
  expect(new Map([...tensors].sort())).toEqual(new Map([...goldenAdapters].sort()));
});

test.each(moduleNames)('writes %s as PEFT does', (module) => {
  const folder = written('P/P/P');
  expect(weightsOf(folder, module)).toEqual(weightsOf(golden, module));
  const { target_modules: targets, base_model_name_or_path: base, ...config } = configOf(folder, module);
  expect(configOf(golden, module)).toMatchObject(config);
  expect(base).toBe('mile-ort/miss-tiny');
  const keys = Object.keys(weightsOf(golden, module).shapes);
  const paths = new Set(
    keys.map((key) => key.replace('base_model.model.', '').replace(/\.lora_[AB]\.weight$/, '')),
  );
  expect([...targets].sort()).toEqual([...paths].sort());
});

describe.each([
  ['ia3', 'P/P/P', 'golden-ia3', moduleNames],
  ['dora-r4', 'P/P/P', 'golden-dora', moduleNames],
  ['ptv2-n10', 'F/F/P', 'golden-ptv2', ['text_decoder']],
  ['prefix-n10', 'F/F/P', 'golden-prefix', ['text_decoder']],
] as const)('%s at %s against %s', (name, placement, folderName, modules) => {
  const saved = oracle(`peft/${folderName}`);
  const contents = variantContents(name, placement);

  test.each(modules)('writes %s as PEFT does', (module) => {
    const folder = temporaryFolder();
    writeAdapterFolder(folder, contents);
    expect(weightsOf(folder, module).shapes).toEqual(weightsOf(saved, module).shapes);
    for (const [key, bytes] of Object.entries(weightsOf(folder, module).bytes)) {
      const [ours, theirs] = [bytes, weightsOf(saved, module).bytes[key]!].map(
        (b) => new Float32Array(b.buffer),
      );
      // PEFT projects its table in float32
      expect(maxDifference(ours!, theirs!), key).toBeLessThanOrEqual(name === 'prefix-n10' ? 2e-6 : 0);
    }
    const {
      target_modules: targets,
      feedforward_modules: fed,
      base_model_name_or_path: _base,
      prefix_projection: _projected,
      lora_dropout: _dropout,
      ...config
    } = configOf(folder, module);
    expect(configOf(saved, module)).toMatchObject(config);
    // PEFT lists ends of paths, we full ones: the same sites
    const ends = (list: unknown) =>
      new Set((list as string[] | undefined)?.map((path) => path.split('.').at(-1)));
    expect(ends(targets)).toEqual(ends(configOf(saved, module).target_modules));
    if (fed) expect((fed as string[]).length).toBeGreaterThan(0);
  });

  test('reads what PEFT wrote', () => {
    const read = readAdapterFolder(saved);
    for (const module of modules) {
      const {
        method,
        sites: own,
        ...ours
      } = contents.variant.modules[module] as unknown as Record<string, unknown> & {
        sites: string[];
      };
      const theirs = read.modules[module] as unknown as Record<string, unknown> & { sites: string[] };
      // a projected table is one that P-tuning v2 could have trained
      expect(theirs.method).toBe(method === 'prefix' ? 'ptv2' : method);
      expect([...theirs.sites].sort()).toEqual([...own].sort());
      const { feedforward, ...others } = ours;
      expect(theirs).toMatchObject(others);
      if (feedforward)
        expect(new Set(theirs.feedforward as string[])).toEqual(new Set(feedforward as string[]));
    }
    if (name === 'prefix-n10') return;
    expect(new Map([...read.tensors].sort())).toEqual(new Map([...contents.tensors].sort()));
  });
});

test.each([
  ['rslora-r4', 'P/P/P'],
  ['dora-r4', 'F/P/P'],
  ['ia3', 'P/P/P'],
  ['ptv2-n10', 'F/P/P'],
])('reads back what it wrote of %s at %s', (name, placement) => {
  const contents = variantContents(name, placement);
  const folder = temporaryFolder();
  writeAdapterFolder(folder, contents);
  const read = readAdapterFolder(folder);
  expect(sorted(read.modules)).toEqual(sorted(contents.variant.modules));
  expect(new Map([...read.tensors].sort())).toEqual(new Map([...contents.tensors].sort()));
});

test.each(moduleNames)('writes %s, wholly trained, as PEFT does', (module) => {
  const folder = written('T/T/T');
  const { shapes, ...expected } = (readJson(oracle('peft/whole.golden.json')) as Record<string, Config>)[
    module
  ]!;
  expect(weightsOf(folder, module).shapes).toEqual(shapes);
  expect(configOf(folder, module)).toMatchObject(expected);
});

test.each(['F/P/P', 'P/P/P', 'T/T/P', 'P/F/T', 'T/T/T'])('reads back what it wrote at %s', (placement) => {
  const { variant, tensors } = goldenContents(placement);
  const read = readAdapterFolder(written(placement));
  expect(new Map([...read.tensors].sort())).toEqual(new Map([...tensors].sort()));
  expect(sorted(read.modules)).toEqual(sorted(variant.modules));
});

test('an earlier placement leaves nothing behind but files of others', () => {
  const folder = written('P/P/P');
  writeFileSync(join(folder, 'visual_encoder/README.md'), 'mine');
  writeAdapterFolder(folder, goldenContents('F/F/P'));
  expect(existsSync(join(folder, 'visual_encoder/README.md'))).toBe(true);
  expect(new Set([...readAdapterFolder(folder).tensors.keys()].map((n) => n.split('.')[0]))).toEqual(
    new Set(['text_decoder']),
  );
});

test('tensors that are not the variant’s are a bug', () => {
  const contents = goldenContents('F/P/P');
  const tensors = new Map([...contents.tensors].slice(1));
  expect(() => writeAdapterFolder(temporaryFolder(), { ...contents, tensors })).toThrow('internal');
});

/** A golden folder with one file of the decoder changed. */
function damaged(damage: (module: string) => void): string {
  const folder = temporaryFolder();
  cpSync(golden, folder, { recursive: true });
  damage(join(folder, 'text_decoder'));
  return folder;
}
const withConfig = (changes: object) => (module: string) => {
  const path = join(module, 'adapter_config.json');
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...changes }));
};
const withWeights = (change: (tensors: Map<string, LazyTensor>, key: string) => void) => (module: string) => {
  const path = join(module, 'adapter_model.safetensors');
  const tensors = withSafetensors(
    path,
    (file) =>
      new Map(
        [...file.header.tensors].map(([key, { shape }]) => [key, float32Tensor(shape, file.float32(key))]),
      ),
  );
  change(tensors, [...tensors.keys()].sort()[0]!);
  writeSafetensors(path, tensors);
};

test.each<[string, (module: string) => void, RegExp]>([
  [
    'no weights',
    (m) => rmSync(join(m, 'adapter_model.safetensors')),
    /cannot read.*\n.*adapter_model.*\n.*check the path/,
  ],
  [
    'a pickle in place of weights',
    (m) => renameSync(join(m, 'adapter_model.safetensors'), join(m, 'adapter_model.bin')),
    /old format, a pickle\n.*adapter_model\.bin\n.*safe_serialization/,
  ],
  [
    'a configuration of a gigabyte',
    (m) => truncateSync(join(m, 'adapter_config.json'), 2 ** 30),
    /1073741824 bytes are too many/,
  ],
  ['no configuration', (m) => rmSync(join(m, 'adapter_config.json')), /cannot read.*\n.*adapter_config/],
  ['not JSON', (m) => writeFileSync(join(m, 'adapter_config.json'), '{'), /not JSON/],
  ['cut short', (m) => writeFileSync(join(m, 'adapter_model.safetensors'), 'x'), /shorter than its header/],
  [
    'another method',
    withConfig({ peft_type: 'OFT' }),
    /peft_type OFT.*\n.*text_decoder.*\n.*LORA, IA3, PREFIX_TUNING adapter/,
  ],
  ['no rank', withConfig({ r: null }), /not a LoRA configuration: r/],
  ['rank 0', withConfig({ r: 0 }), /not a LoRA configuration: r/],
  ['DoRA without magnitudes', withConfig({ use_dora: true }), /no lora_magnitude_vector to go with lora_A/],
  ['ranks by site', withConfig({ rank_pattern: { query: 2 } }), /rank_pattern is set/],
  ['PiSSA', withConfig({ init_lora_weights: 'pissa' }), /init_lora_weights is set/],
  [
    'another rank than the weights',
    withConfig({ r: 8 }),
    /lora_A \[4,64\] and lora_B \[64,4\] are no pair of rank 8/,
  ],
  [
    'an unknown key',
    withWeights((t, k) => t.set(k.replace('.bert.', '.gpt.'), t.get(k)!)),
    /unknown key .*gpt.*\n.*\n.*BlipTextLMHeadModel/,
  ],
  [
    'a key without its wrapper',
    withWeights((t, k) => t.set(k.replace('base_model.model.', ''), t.get(k)!)),
    /unknown key bert/,
  ],
  ['half a pair', withWeights((t, k) => t.delete(k)), /no lora_A to go with lora_B/],
  [
    'a matrix of another shape',
    withWeights((t, k) => t.set(k, float32Tensor([64, 4], new Float32Array(256)))),
    /no pair of rank 4/,
  ],
  [
    'a bias among LoRA',
    withWeights((t, k) => t.set(k.replace('lora_A.weight', 'bias'), t.get(k)!)),
    /LoRA and wholly trained/,
  ],
  ['nothing inside', withWeights((t) => t.clear()), /the adapter is empty/],
])('refuses a folder with %s', (_what, damage, message) => {
  const folder = damaged(damage);
  expect(() => readAdapterFolder(folder)).toThrow(FileError);
  expect(() => readAdapterFolder(folder)).toThrow(message);
});

test('refuses an empty folder and untied word embeddings', () => {
  expect(() => readAdapterFolder(temporaryFolder())).toThrow(/no adapter here/);
  const folder = written('T/T/T');
  withWeights((tensors) => {
    tensors.set(
      'base_model.model.cls.predictions.decoder.weight',
      float32Tensor([97, 64], new Float32Array(97 * 64)),
    );
  })(join(folder, 'text_decoder'));
  expect(() => readAdapterFolder(folder)).toThrow(
    /two copies of text_decoder.bert.embeddings.word_embeddings.weight differ/,
  );
});
