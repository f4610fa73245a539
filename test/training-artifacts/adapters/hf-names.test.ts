/** @file Names of Hugging Face BLIP against the ones that PEFT saved. */
import { expect, test } from 'vitest';
import { moduleNames } from '../../../graph-builder/models/config.js';
import { hfPath, referenceName } from '../../../training-artifacts/adapters/hf-names.js';
import { readJson } from '../../../training-artifacts/files.js';
import { oracle } from '../../support/golden.js';
import { baseParameters } from './support.js';

const whole = readJson(oracle('peft/whole.golden.json')) as Record<
  string,
  { shapes: Record<string, number[]> }
>;

test('every parameter of the model has a path, and its path leads back', () => {
  for (const { name } of baseParameters) {
    const { module, path } = hfPath(name)!;
    expect(referenceName(module, path)).toBe(name);
    expect(Object.keys(whole[module]!.shapes)).toContain(`base_model.model.${path}`);
  }
});

test.each(moduleNames)('every path that PEFT saved of %s is a parameter of the same shape', (module) => {
  const shapes = new Map(baseParameters.map((p) => [p.name, p.shape]));
  for (const [key, shape] of Object.entries(whole[module]!.shapes)) {
    expect(shapes.get(referenceName(module, key.replace('base_model.model.', ''))!), key).toEqual(shape);
  }
});

test.each([
  [
    'visual_encoder.blocks.11.attn.proj.lora_B.weight',
    'encoder.layers.11.self_attn.projection.lora_B.weight',
  ],
  ['visual_encoder.patch_embed.proj', 'embeddings.patch_embedding'],
  ['visual_encoder.cls_token', 'embeddings.class_embedding'],
  ['text_decoder.bert.encoder.layer.0.output.dense.bias', 'bert.encoder.layer.0.output.dense.bias'],
])('%s', (name, path) => {
  expect(hfPath(name)?.path).toBe(path);
});

test.each([
  'visual_encoder.blocks.x.norm1.weight',
  'text_encoder.pooler.dense.weight',
  'text_encoder',
  'lm_head.weight',
])('%s is unknown', (name) => {
  expect(hfPath(name)).toBeUndefined();
});

test('a tied path leads to the parameter that is stored', () => {
  expect(referenceName('text_decoder', 'cls.predictions.decoder.weight')).toBe(
    'text_decoder.bert.embeddings.word_embeddings.weight',
  );
  expect(referenceName('text_encoder', 'cls.predictions.decoder.weight')).toBeUndefined();
});
