/** @file Adapters from bytes, and the places in which PEFT's users have them. */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { moduleNames } from '../../../graph-builder/models/config.js';
import { readAdapterFolder } from '../../../training-artifacts/adapters/peft-folder.js';
import {
  type Adapter,
  parseAdapter,
  parseTensors,
} from '../../../training-artifacts/adapters/stored-adapter.js';
import { layOut, type SafetensorsDType } from '../../../training-artifacts/weights/safetensors.js';
import { oracle } from '../../support/golden.js';
import { temporaryFolder } from './support.js';

/** All files of a folder by their paths. */
function filesOf(folder: string): Map<string, Uint8Array> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((e) => e.isFile());
  return new Map(
    entries.map((e) => {
      const path = join(e.parentPath, e.name);
      return [path.slice(folder.length + 1), readFileSync(path)];
    }),
  );
}
const whole = oracle('peft/golden-whole');
const golden = oracle('peft/golden');
const methods = ({ modules }: Adapter) => Object.values(modules).map(({ method }) => method);

test.each(['golden', 'golden-ia3', 'golden-dora', 'golden-prefix', 'golden-whole'])(
  '%s from bytes equals the folder on disk',
  (name) => {
    const folder = oracle(`peft/${name}`);
    expect(parseAdapter(filesOf(folder), folder)).toEqual(readAdapterFolder(folder));
  },
);

test.each(moduleNames)('the folder of %s alone is known by its class or its keys', (module) => {
  const expected = readAdapterFolder(golden).modules[module];
  const alone = readAdapterFolder(join(golden, module));
  expect(alone.modules[module]).toEqual(expected);
  expect(methods(alone).sort()).toEqual(['frozen', 'frozen', 'lora']);
  const files = filesOf(join(golden, module));
  const config = JSON.parse(new TextDecoder().decode(files.get('adapter_config.json')));
  files.set('adapter_config.json', Buffer.from(JSON.stringify({ ...config, auto_mapping: null })));
  expect(parseAdapter(files, 'x').modules).toEqual(alone.modules);
});

test('a decoder’s prefix alone is a decoder’s', () => {
  const { modules } = readAdapterFolder(oracle('peft/golden-prefix/text_decoder'));
  expect(modules.text_decoder.method).toBe('ptv2');
});

test('a whole model that PEFT wrapped is taken apart; float16 is read', () => {
  const adapter = readAdapterFolder(whole);
  expect(methods(adapter)).toEqual(['frozen', 'lora', 'lora']);
  expect(adapter.tensors.size).toBe(2 * 2 * 2 * 4); // modules, layers, attentions, A and B of query and value
  const { stored } = { stored: parseTensors(readFileSync(join(whole, 'adapter_model.safetensors')), whole) };
  const key = 'base_model.model.text_decoder.bert.encoder.layer.1.crossattention.self.value.lora_B.weight';
  expect(
    adapter.tensors.get('text_decoder.bert.encoder.layer.1.crossattention.self.value.lora_B.weight'),
  ).toEqual(stored.get(key));
});

/** One tensor [2] of any type. */
function oneTensor(dtype: SafetensorsDType, bytes: Uint8Array): Uint8Array {
  const { header } = layOut([['t', { dtype, shape: [2] }]]);
  return Buffer.concat([header, bytes]);
}

test.each<[SafetensorsDType, Uint8Array]>([
  ['BF16', new Uint8Array([0xc0, 0x3f, 0x80, 0xc0])], // 1.5 is 3fc0, -4 is c080
  ['F16', new Uint8Array([0x00, 0x3e, 0x00, 0xc4])],
  ['F32', new Uint8Array(Float32Array.of(1.5, -4).buffer)],
  ['F64', new Uint8Array(Float64Array.of(1.5, -4).buffer)],
])('%s numbers', (dtype, bytes) => {
  expect([...parseTensors(oneTensor(dtype, bytes), 'x').get('t')!.data]).toEqual([1.5, -4]);
});

test.each<[string, (files: Map<string, Uint8Array>) => unknown, RegExp]>([
  ['nothing', (f) => f.clear(), /no adapter here\n {2}where: mine\n.*adapter_config.json/],
  [
    'no weights',
    (f) => f.delete('text_encoder/adapter_model.safetensors'),
    /missing\n.*mine\/text_encoder\/adapter_model/,
  ],
  [
    'no configuration',
    (f) => f.delete('text_encoder/adapter_config.json'),
    /missing\n.*mine\/text_encoder\/adapter_config/,
  ],
  ['no JSON', (f) => f.set('text_encoder/adapter_config.json', Buffer.from('{')), /not JSON/],
  [
    'no safetensors',
    (f) => f.set('text_encoder/adapter_model.safetensors', Buffer.from('xx')),
    /shorter than its header/,
  ],
  [
    'whole numbers',
    (f) => f.set('text_encoder/adapter_model.safetensors', oneTensor('I32', new Uint8Array(8))),
    /I32 numbers are no weights/,
  ],
  [
    'a number that is none',
    (f) => f.set('text_encoder/adapter_model.safetensors', oneTensor('F32', new Uint8Array(8).fill(255))),
    /holds NaN at place 0/,
  ],
])('refuses files with %s', (_what, damage, message) => {
  const files = filesOf(golden);
  damage(files);
  expect(() => parseAdapter(files, 'mine')).toThrow(message);
});

test.each<[string, string, (text: string) => string, RegExp]>([
  [
    'a module that BLIP has not',
    'adapter_model.safetensors',
    (t) => t.replaceAll('text_decoder.bert', 'text_decoder.gpt_'),
    /unknown key .*gpt_/,
  ],
  [
    'an attribute that BLIP has not',
    'adapter_model.safetensors',
    (t) => t.replace('model.text_decoder.', 'model.text_decodex.'),
    /unknown key .*text_decodex.*\n.*\n.*vision_model/,
  ],
  ['a bias', 'adapter_config.json', (t) => t.replace('"bias": "none"', '"bias": "all"'), /bias is set/],
  [
    'ranks by site',
    'adapter_config.json',
    (t) => t.replace('"rank_pattern": {}', '"rank_pattern": {"query": 3}'),
    /rank_pattern is set/,
  ],
])('refuses a whole model’s folder with %s', (_what, file, change, message) => {
  const folder = temporaryFolder();
  cpSync(whole, folder, { recursive: true });
  const path = join(folder, file);
  const before = readFileSync(path, 'latin1');
  const after = change(before);
  expect(after).not.toBe(before);
  writeFileSync(path, after, 'latin1');
  expect(() => readAdapterFolder(folder)).toThrow(message);
  rmSync(folder, { recursive: true });
});

test('a folder whose module cannot be told', () => {
  const files = filesOf(join(golden, 'text_encoder'));
  files.set('adapter_model.safetensors', oneTensor('F32', new Uint8Array(8)));
  const config = JSON.parse(new TextDecoder().decode(files.get('adapter_config.json')));
  files.set('adapter_config.json', Buffer.from(JSON.stringify({ ...config, auto_mapping: null })));
  expect(() => parseAdapter(files, 'x')).toThrow(
    /whose adapter it is cannot be told\n.*\n.*visual_encoder\//,
  );
});
