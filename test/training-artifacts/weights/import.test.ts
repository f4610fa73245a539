/** @file Imported weights give the answers that transformers gives with them. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { GraphBuilder } from '../../../graph-builder/ir/builder.js';
import { verify } from '../../../graph-builder/ir/graph.js';
import { imageEncoderGraph, logitsGraph, textOnlyGraph } from '../../../graph-builder/models/miss.js';
import { logits as headLogits } from '../../../graph-builder/models/text-decoder.js';
import { float32, floats, type Tensor } from '../../../runtime/core/session.js';
import { writeJson } from '../../../training-artifacts/files.js';
import { resizeGrid } from '../../../training-artifacts/weights/bicubic.js';
import { checkVocabulary } from '../../../training-artifacts/weights/companions.js';
import { initialValues } from '../../../training-artifacts/weights/initialise.js';
import {
  float32Tensor,
  withSafetensors,
  writeSafetensors,
} from '../../../training-artifacts/weights/safetensors-file.js';
import { maxDifference, openGraph, oracle, readTensors } from '../../support/golden.js';
import { importInto, ownImages, textFeeds, tiny } from './importing.js';
import { path } from './support.js';

const TOLERANCE = 1e-4;
const blip = readTensors('weights/blip-expected.safetensors');
const vit = readTensors('weights/vit-expected.safetensors');
const bert = readTensors('weights/bert-expected.safetensors');

/** Largest difference of the model's logits from transformers'. */
async function logitsDifference(weights: string): Promise<number> {
  const session = await openGraph(verify(logitsGraph(tiny)), weights);
  const results = await session.run({
    pixel_values: blip.pixel_values!,
    image_selection: ownImages(2),
    ...textFeeds('question', blip.input_ids!, blip.attention_mask!),
    ...textFeeds('answer', blip.decoder_input_ids!, blip.decoder_attention_mask!),
  });
  return maxDifference(floats(results.logits), floats(blip.logits));
}

test.each([
  ['blip/model.safetensors', 'safetensors, names of HF BLIP', undefined],
  ['blip/pytorch_model.bin', 'PyTorch (zip), names of HF BLIP', undefined],
  ['miss.pth', 'PyTorch (legacy), names of MISS or BLIP, under model', 'reference'],
] as const)('%s gives the logits of transformers', async (file, described, normalisation) => {
  const { plan, out } = await importInto([file], { strict: true, normalisation });
  const [source] = plan.sources;
  expect(`${source!.format}, names of ${source!.layout}`).toBe(described);
  expect(plan.tensors.every(({ kind }) => kind === 'mapped')).toBe(true);
  expect(plan.normalisation).toBe(normalisation ?? 'clip');
  expect(await logitsDifference(out)).toBeLessThan(TOLERANCE);
});

test('tied copies, buffers and what lies beside the model are told apart', async () => {
  const { plan } = await importInto(['miss.pth'], { normalisation: 'reference' });
  const kinds = Object.fromEntries(plan.left.map(({ name, kind }) => [name, kind]));
  expect(kinds).toEqual({
    'model.text_encoder.embeddings.position_ids': 'buffer',
    'model.text_decoder.cls.predictions.decoder.weight': 'tied',
    'model.text_decoder.cls.predictions.decoder.bias': 'tied',
    'optimizer.state.0.step': 'beside',
    'optimizer.state.0.exp_avg': 'beside',
  });
});

const vitConfig = { ...tiny, imageSize: 24 };

/** Image tokens of the imported ViT at a size of images. */
async function imageStates(weights: string, imageSize: number, pixels: Tensor): Promise<Float32Array> {
  const session = await openGraph(verify(imageEncoderGraph({ ...tiny, imageSize })), weights);
  return floats((await session.run({ pixel_values: pixels })).image_states);
}

test.each([
  ['vit', 'HF ViT'],
  ['timm-vit.npz', 'timm ViT'],
])('%s gives the states of transformers, also at another image size', async (file, layout) => {
  const own = await importInto([file], { config: vitConfig, normalisation: 'half' });
  expect(own.plan.sources[0]!.layout).toBe(layout);
  expect(own.plan.left.filter(({ kind }) => kind === 'unused').length).toBe(2); // the classifier
  const states = await imageStates(own.out, 24, vit.pixel_values!);
  expect(maxDifference(states, floats(vit.states))).toBeLessThan(TOLERANCE);

  const larger = await importInto([file], { config: { ...tiny, imageSize: 40 }, normalisation: 'half' });
  expect(larger.plan.tensors.filter(({ kind }) => kind === 'resized').map(({ note }) => note)).toEqual([
    '3 x 3 patches to 5 x 5, bicubic',
  ]);
  const resized = await imageStates(larger.out, 40, vit['larger.pixel_values']!);
  expect(maxDifference(resized, floats(vit['larger.states']))).toBeLessThan(TOLERANCE);
});

test('a BERT gives its hidden states in the text body, and its head to the decoder', async () => {
  const { plan, out } = await importInto(['bert']);
  const session = await openGraph(verify(textOnlyGraph(tiny)), out);
  const feeds = textFeeds('question', bert.input_ids!, bert.attention_mask!);
  const { hidden_states } = await session.run(feeds);
  expect(maxDifference(floats(hidden_states), floats(bert.states))).toBeLessThan(TOLERANCE);

  const g = new GraphBuilder();
  const head = g.finish({ logits: headLogits(g, g.input('x', 'float32', ['rows', 16]), tiny) });
  const headSession = await openGraph(verify(head), out);
  const { logits } = await headSession.run({ x: float32(floats(bert.states), [14, 16]) });
  // transformers has no logits of [DEC] and [ENC], ours stand at the end of each row
  const known = Float32Array.from(
    { length: 14 * 38 },
    (_, i) => floats(logits)[Math.floor(i / 38) * 40 + (i % 38)]!,
  );
  expect(maxDifference(known, floats(bert.head_logits))).toBeLessThan(TOLERANCE);

  const made = plan.tensors.filter(({ kind, name }) => kind === 'initialised' && name.startsWith('text_'));
  expect(made.every(({ name }) => name.includes('crossattention'))).toBe(true);
  expect(plan.notes[0]).toContain('no cross-attention');
  expect(plan.left.map(({ name }) => name).sort()).toEqual([
    'bert.pooler.dense.bias',
    'bert.pooler.dense.weight',
    'cls.seq_relationship.bias',
    'cls.seq_relationship.weight',
  ]);
});

test('what has no origin starts as a new model of the seed does', async () => {
  const { plan, out } = await importInto(['bert'], { seed: 7 });
  const parameter = {
    kind: 'parameter',
    name: 'text_encoder.encoder.layer.0.crossattention.self.query.weight',
    dtype: 'float32',
    shape: [16, 16],
    init: 'normal',
    trainable: false,
  } as const;
  withSafetensors(out, (file) => {
    expect(file.float32(parameter.name)).toEqual(initialValues(parameter, 7));
    const words = file.float32('text_encoder.embeddings.word_embeddings.weight');
    const fresh = words.subarray(38 * 16);
    expect(Math.hypot(...fresh)).toBeGreaterThan(0.1);
    expect(file.header.metadata).toMatchObject({ preset: 'test', seed: '7', normalisation: 'imagenet' });
    expect(JSON.parse(file.header.metadata.config!)).toEqual(tiny);
  });
  const words = plan.tensors.find(({ name }) => name === 'text_encoder.embeddings.word_embeddings.weight')!;
  expect(words).toMatchObject({ kind: 'resized', note: 'rows of [DEC] and [ENC] are initial values' });
});

test('positions are cut, or lengthened by initial values', async () => {
  const table = async (maxPositions: number) => {
    const { plan, out } = await importInto(['bert'], { config: { ...tiny, maxPositions } });
    const name = 'text_encoder.embeddings.position_embeddings.weight';
    const note = plan.tensors.find((t) => t.name === name)!.note;
    return { note, values: withSafetensors(out, (file) => file.float32(name)) };
  };
  const [whole, cut, long] = [await table(12), await table(9), await table(20)];
  expect(whole.note).toBe('token type 0 added');
  expect(cut.note).toBe('token type 0 added; the first 9 of 12 rows');
  expect(cut.values).toEqual(whole.values.slice(0, 9 * 16));
  expect(long.note).toBe('token type 0 added; 8 of 20 rows are initial values');
  expect(long.values.slice(0, 12 * 16)).toEqual(whole.values);
  expect(long.values.slice(12 * 16).every((v) => v !== 0)).toBe(true);
});

test('of several sources the later wins', async () => {
  const { plan } = await importInto(['blip/model.safetensors', 'bert', 'timm-vit.npz'], {
    config: vitConfig,
    normalisation: 'half',
  });
  const from = (name: string) =>
    plan.tensors
      .find((t) => t.name === name)!
      .file!.split('/')
      .at(-1);
  expect(from('visual_encoder.norm.weight')).toBe('timm-vit.npz');
  expect(from('text_encoder.encoder.layer.0.attention.self.key.weight')).toBe('model.safetensors');
  expect(plan.tensors.find((t) => t.name.endsWith('intermediate.dense.weight'))!.file).toContain('/bert/');
  expect(from('text_decoder.bert.encoder.layer.0.crossattention.self.key.weight')).toBe('model.safetensors');
  expect(plan.tensors.some(({ kind }) => kind === 'initialised')).toBe(false);
  expect(plan.left.filter(({ kind }) => kind === 'replaced').length).toBeGreaterThan(20);
});

test('grids are resized as torch.nn.functional.interpolate does it', () => {
  const golden = readTensors('weights/bicubic.safetensors');
  for (const name of Object.keys(golden).filter((n) => n.endsWith('.from'))) {
    const [a, b] = name.slice(0, -'.from'.length).split('-').map(Number) as [number, number];
    const resized = resizeGrid(floats(golden[name]), a, b, 3);
    expect(maxDifference(resized, floats(golden[`${a}-${b}.to`])), name).toBeLessThan(1e-5);
  }
});

test.each(['float16', 'bfloat16'] as const)('%s is written and read back', async (dtype) => {
  const small = await importInto(['blip/model.safetensors'], { dtype });
  const back = await importInto([small.out], { strict: true });
  expect(back.plan.normalisation).toBe('clip'); // the file says so
  expect(await logitsDifference(back.out)).toBeLessThan(TOLERANCE); // these weights are exact in 16 bits
});

test.each([
  [['vit'], { config: vitConfig }, /does not say how the images were normalised.*--normalisation.*half for/s],
  [['miss.pth'], {}, /does not say how.*clip for BLIP, reference for MISS/s],
  [
    ['bert'],
    { strict: true },
    /38 tensors would be initialised and 4 are unused, the first is visual_encoder/,
  ],
  [['tensors.pth'], {}, /names of its 18 tensors are of no known model: state_dict.base/],
  [
    ['blip/model.safetensors'],
    { config: { ...tiny, intermediate: 64 } },
    /vision_model.encoder.layers.0.mlp.fc1.weight \[32,16\] does not fit visual_encoder.blocks.0.mlp.fc1.weight \[64,16\]/,
  ],
  [
    ['blip/model.safetensors'],
    { config: { ...tiny, textHeads: 4 } },
    /the text model has 2 attention heads, the preset 4.*--text-heads 2/s,
  ],
] as const)('%j with %j is refused in one clear error', async (sources, options, message) => {
  await expect(importInto(sources, options)).rejects.toThrow(message);
});

/** A copy of a golden file whose tensors have other names or are cut in parts. */
function rewritten(
  name: string,
  change: (key: string, values: Float32Array, shape: readonly number[]) => Renamed[],
) {
  const file = path(`rewritten-${name.replaceAll('/', '-')}`);
  withSafetensors(name.startsWith('/') ? name : oracle(`weights/${name}`), (f) => {
    const tensors = [...f.header.tensors].flatMap(([key, { shape }]) => change(key, f.float32(key), shape));
    writeSafetensors(
      file,
      new Map(tensors.map(([key, values, shape]) => [key, float32Tensor(shape, values)])),
    );
  });
  return file;
}
type Renamed = readonly [key: string, values: Float32Array, shape: readonly number[]];

const bytesOf = (file: string, name: string) => withSafetensors(file, (f) => f.float32(name));

test('gamma and beta of 2018, and wrappers of trainers, are the same BERT', async () => {
  const old = rewritten('bert/model.safetensors', (key, values, shape) => [
    [
      `state_dict.module.${key.replace(/LayerNorm\.weight$/, 'LayerNorm.gamma').replace(/LayerNorm\.bias$/, 'LayerNorm.beta')}`,
      values,
      shape,
    ],
  ]);
  const [a, b] = [await importInto(['bert']), await importInto([old])];
  expect(b.plan.sources[0]!.layout).toBe('HF BERT, under state_dict.module');
  expect(b.plan.left.length).toBe(a.plan.left.length);
  for (const { name } of a.plan.tensors) expect(bytesOf(b.out, name), name).toEqual(bytesOf(a.out, name));
});

test('a timm ViT with separate query, key and value is the fused one', async () => {
  const fused = await importInto(['timm-vit.npz'], { config: vitConfig, normalisation: 'half' });
  const separate = rewritten(fused.out, (key, values, shape) => {
    if (!key.startsWith('visual_encoder.')) return [];
    const name = key.slice('visual_encoder.'.length);
    if (!name.includes('.qkv.')) return [[name, values, shape]];
    const third = values.length / 3;
    return ['q', 'k', 'v'].map(
      (part, i): Renamed => [
        name.replace('.qkv.', `.${part}.`),
        values.slice(i * third, (i + 1) * third),
        [shape[0]! / 3, ...shape.slice(1)],
      ],
    );
  });
  const again = await importInto([separate], { config: vitConfig, normalisation: 'half' });
  const name = 'visual_encoder.blocks.0.attn.qkv.weight';
  expect(again.plan.tensors.find((t) => t.name === name)!.from.length).toBe(3);
  expect(bytesOf(again.out, name)).toEqual(bytesOf(fused.out, name));
});

test('a second copy of a tied weight that differs is not taken for one', async () => {
  const untied = rewritten('blip/model.safetensors', (key, values, shape) => {
    const own: Renamed = [key, values, shape];
    if (key !== 'text_decoder.bert.embeddings.word_embeddings.weight') return [own];
    return [own, ['text_decoder.cls.predictions.decoder.weight', values.map((v) => v + 1), shape]];
  });
  await expect(importInto([untied], { strict: true })).rejects.toThrow(/1 are unused.*decoder\.weight/);
});

test('what lies beside the weights is heeded', async () => {
  const beside = (folder: string, files: Readonly<Record<string, unknown>>) => {
    mkdirSync(path(folder));
    copyFileSync(oracle('weights/vit/model-00001-of-00002.safetensors'), path(`${folder}/a.safetensors`));
    for (const [name, value] of Object.entries(files)) writeJson(path(`${folder}/${name}`), value);
    return importInto([path(`${folder}/a.safetensors`)], { config: vitConfig });
  };
  const processor = { image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5] };
  const config = {
    model_type: 'vit',
    num_attention_heads: 2,
    layer_norm_eps: 1e-12,
    hidden_act: 'quick_gelu',
  };
  const { plan } = await beside('said', { 'preprocessor_config.json': processor, 'config.json': config });
  expect(plan.normalisation).toBe('half');
  expect(plan.notes).toEqual([
    'layer norms of the vision model add 1e-12 to the variance, this model 0.000001',
    'the vision model was trained with quick_gelu, this model computes gelu',
  ]);
  await expect(beside('heads', { 'config.json': { ...config, num_attention_heads: 4 } })).rejects.toThrow(
    /the vision model has 4 attention heads, the preset 2.*--vision-heads 4/s,
  );
});

test('another vocabulary of the same size is noticed', async () => {
  mkdirSync(path('words'));
  writeFileSync(path('words/vocab.txt'), '[PAD]\n[unused0]\nother\n');
  expect(() => checkVocabulary(path('words/x.bin'))).toThrow(
    /id 2 is 'other', here it is '\[unused1\]': another vocabulary/,
  );
  checkVocabulary(oracle('weights/bert/model.safetensors')); // no vocab.txt there
});
