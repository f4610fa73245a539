/** @file What every method must do: step 0, what prefixes change, dropout, mixtures, what is said about wrong ones. */
import { describe, expect, test } from 'vitest';
import { RewriteError, UserError } from '../../graph-builder/errors.js';
import { prune, verify } from '../../graph-builder/ir/graph.js';
import type { Graph } from '../../graph-builder/ir/types.js';
import { moduleOf } from '../../graph-builder/models/config.js';
import { logitsGraph, lossGraph } from '../../graph-builder/models/miss.js';
import { parseVariant, type VariantOptions } from '../../graph-builder/variant/parse.js';
import { applyVariant, dropoutRates, placementOf } from '../../graph-builder/variant/variant.js';
import { type Feeds, float32, floats, int32, type Tensor } from '../../runtime/core/session.js';
import { initialValues, rowNorms } from '../../training-artifacts/weights/initialise.js';
import { goldenConfig, goldenFeeds, maxDifference, openGraph, readTensors } from '../support/golden.js';
import { trainingGraph } from '../support/models.js';
import { variantTensors } from '../support/variants.js';

const base = lossGraph(goldenConfig);
const weights = readTensors('blip/weights.safetensors');
const parse = (name: string | undefined, options: VariantOptions = {}) =>
  parseVariant(name, base.parameters, options);

/** Adapters as a run starts with them. */
function fresh({ parameters }: Graph): Feeds {
  const added = parameters.filter((p) => p.trainable && !weights[p.name]);
  return Object.fromEntries(
    added.map((p): [string, Tensor] => {
      const dims = p.shape as readonly number[];
      const size = dims.reduce((a, b) => a * b, 1);
      const weight = p.name.replace(/lora_magnitude_vector$/, 'weight');
      const data = p.init === 'rowNorms' ? rowNorms(floats(weights[weight]), size) : initialValues(p, 0);
      return [p.name, float32(data, dims)];
    }),
  );
}

async function logitsOf(graph: Graph, feeds: Feeds): Promise<Float32Array> {
  const session = await openGraph(verify(graph));
  const { logits } = await session.run({ ...weights, ...goldenFeeds(), ...feeds });
  await session.release();
  return floats(logits);
}

const adapted = (name: string, options: VariantOptions) =>
  applyVariant(logitsGraph(goldenConfig), parse(name, options), 'evaluation');

describe('step 0 answers like the base model', () => {
  test.each([
    ['lora-r4', 0],
    ['rslora-r4', 0],
    ['ia3', 0],
    // m / ‖W‖ is 1 up to rounding
    ['dora-r4', 1e-5],
  ])('%s', async (name, tolerance) => {
    const plain = await logitsOf(logitsGraph(goldenConfig), {});
    const graph = adapted(name, { placement: 'P/P/P' });
    expect(maxDifference(await logitsOf(graph, fresh(graph)), plain)).toBeLessThanOrEqual(tolerance);
    const other = await logitsOf(graph, variantTensors(name));
    expect(maxDifference(other, plain)).toBeGreaterThan(0.1); // the adapters are there
  });
});

describe('a prefix', () => {
  const feeds = goldenFeeds();

  test.each(['prefix-n10', 'ptv2-n10'])('%s: positions do not shift, the mask grows', async (name) => {
    const graph = adapted(name, { placement: 'F/P/P' });
    // positions are read from the same inputs, without an offset
    expect(graph.inputs.map((v) => v.name)).toEqual(logitsGraph(goldenConfig).inputs.map((v) => v.name));
    const grown = graph.nodes.filter((n) => n.op === 'Softmax').map((n) => n.outputs[0]!.shape.at(-1));
    expect(new Set(grown)).toEqual(
      new Set(['question_tokens+10', 'answer_tokens+10', 'question_tokens', 17]),
    );
    const own = await logitsOf(graph, variantTensors(name));
    // the prefix is seen although the padding mask hides every token of question and answer
    const hidden = {
      question_mask: int32(new Int32Array(feeds.question_mask!.data.length), feeds.question_mask!.dims),
    };
    const zero = Object.fromEntries(
      Object.entries(variantTensors(name)).map(([n, t]) => [
        n,
        float32(new Float32Array(t.data.length), t.dims),
      ]),
    );
    const [seen, without] = [
      await logitsOf(graph, { ...variantTensors(name), ...hidden }),
      await logitsOf(graph, { ...zero, ...hidden }),
    ];
    expect(maxDifference(seen, without)).toBeGreaterThan(1e-2);
    expect(maxDifference(seen, own)).toBeGreaterThan(1e-2);
  });

  test('in some layers only leaves the others as they are', () => {
    const sites = 'text_encoder.encoder.layer.1.attention.self.key.weight';
    const graph = adapted('ptv2-n4', { placement: 'F/P/F', sites });
    const softmax = graph.nodes.filter((n) => n.op === 'Softmax').map((n) => n.outputs[0]!.shape.at(-1));
    expect(softmax.filter((d) => d === 'question_tokens+4')).toHaveLength(1);
  });

  test('dropout drops its probabilities, too, by numbers of their own', async () => {
    const graph = trainingGraph(goldenConfig, 'ptv2-n10', { placement: 'F/P/P' });
    const session = await openGraph(graph);
    const [batch, tokens] = feeds.question_ids!.dims as [number, number];
    const [, answers] = feeds.answer_ids!.dims as [number, number];
    const odd = (n: number, by: number) =>
      Int32Array.from({ length: n }, (_, i) => Math.imul(i + by, 0x9e3779b1) | 1);
    const seeds = (by: number): Feeds => ({
      image_seed: int32(odd(batch, by), [batch]),
      question_seed: int32(odd(batch * tokens, by), [batch, tokens]),
      answer_seed: int32(odd(batch * answers, by), [batch, answers]),
    });
    const loss = async (by: number) =>
      floats(
        (await session.run({ ...weights, ...variantTensors('ptv2-n10'), ...feeds, ...seeds(by) }, ['loss']))
          .loss,
      )[0];
    expect(await loss(1)).toBe(await loss(1));
    expect(await loss(1)).not.toBe(await loss(2));
    await session.release();
  });
});

describe('mixtures', () => {
  test('each module has a method of its own', () => {
    const variant = parse(undefined, {
      modules: { visual_encoder: 'lora-r4', text_encoder: 'T', text_decoder: 'prefix-n10' },
    });
    expect(variant.name).toBe('lora-r4+T+prefix-n10');
    expect(placementOf(variant)).toEqual({ visual_encoder: 'P', text_encoder: 'T', text_decoder: 'P' });
    const trainable = verify(applyVariant(base, variant, 'evaluation')).parameters.filter((p) => p.trainable);
    for (const { name } of trainable) {
      const module = moduleOf(name);
      if (module === 'visual_encoder') expect(name).toMatch(/\.lora_[AB]\.weight$/);
      if (module === 'text_decoder') expect(name).toMatch(/^text_decoder\.prompt_encoder\./);
    }
    expect(new Set(trainable.map((p) => moduleOf(p.name))).size).toBe(3);
  });

  test('a flag of one module wins over the placement', () => {
    const variant = parse('lora-r4', { placement: 'F/P/P', modules: { text_decoder: 'ia3' } });
    expect(Object.values(variant.modules).map((t) => t.method)).toEqual(['frozen', 'lora', 'ia3']);
  });

  test('a pattern that matches in one of two adapted modules leaves the other frozen', () => {
    const variant = parse('lora-r4', { placement: 'F/P/P', sites: 'text_decoder.**.self.query.weight' });
    expect(Object.values(variant.modules).map((t) => t.method)).toEqual(['frozen', 'frozen', 'lora']);
  });
});

test('frozen modules have no dropout unless the reference’s way is asked for', () => {
  const variant = parse('lora-r4', { placement: 'F/P/P' });
  expect(dropoutRates(variant)).toEqual({ text_encoder: 0.1, text_decoder: 0.1 });
  expect(dropoutRates(variant, 0.1, true)).toEqual({
    visual_encoder: 0.1,
    text_encoder: 0.1,
    text_decoder: 0.1,
  });
  const seeded = (frozenToo: boolean) =>
    prune(lossGraph(goldenConfig, dropoutRates(variant, 0.1, frozenToo))).inputs.some(
      (v) => v.name === 'image_seed',
    );
  expect([seeded(false), seeded(true)]).toEqual([false, true]);
});

describe('what does not fit', () => {
  const insert = (graph: Graph, name: string, options: VariantOptions) =>
    applyVariant(graph, parse(name, options), 'evaluation');

  test.each<[string, () => unknown, typeof UserError, RegExp]>([
    [
      'zero tokens',
      () => parse('prefix-n0'),
      UserError,
      /0 virtual tokens are too few\n.*--variant\n.*prefix-n10/,
    ],
    ['negative tokens', () => parse('ptv2-n-3'), UserError, /-3 virtual tokens.*\n.*\n.*ptv2-n10/],
    [
      'a prefix on the ViT',
      () => parse('prefix-n10', { placement: 'P/F/F' }),
      RewriteError,
      /prefix-n10 goes before the keys .*there is none\n.*visual_encoder\n.*lora-rN or ia3/,
    ],
    [
      'a rank over the matrix’s size',
      () => insert(base, 'dora-r64', { placement: 'F/P/P' }),
      RewriteError,
      /rank 64 is not below .*\[64,64\]/,
    ],
    [
      'two adapters on one site',
      () => insert(insert(base, 'lora-r4', { placement: 'F/P/F' }), 'ia3', { placement: 'F/P/F' }),
      RewriteError,
      /the site has an adapter already\n.*self\.key\.weight\n.*merge it first/,
    ],
    [
      'two prefixes in one module',
      () => insert(insert(base, 'ptv2-n2', { placement: 'F/P/F' }), 'prefix-n4', { placement: 'F/P/F' }),
      RewriteError,
      /the module has a prefix already\n.*text_encoder/,
    ],
    [
      'input scaling of a convolution',
      () => {
        const variant = parse('ia3', { placement: 'P/F/F', sites: 'visual_encoder.patch_embed.proj.weight' });
        const settings = variant.modules.visual_encoder as { sites: readonly string[] };
        const changed = { ...settings, feedforward: settings.sites } as never;
        return applyVariant(
          base,
          { ...variant, modules: { ...variant.modules, visual_encoder: changed } },
          'evaluation',
        );
      },
      RewriteError,
      /scales the input of linear layers only/,
    ],
    [
      'P without a method',
      () => parse('lora-r4', { modules: { text_encoder: 'P' } }),
      UserError,
      /--jtm P does not say/,
    ],
    [
      'an unknown method of a module',
      () => parse('lora-r4', { modules: { text_encoder: 'lore' } }),
      UserError,
      /unknown variant 'lore'\n.*--jtm/,
    ],
    [
      'no variant',
      () => parse(undefined, { modules: { text_encoder: 'T' } }),
      UserError,
      /no variant given\n.*\n.*--vit/,
    ],
  ])('%s', (_name, act, kind, message) => {
    expect(act).toThrow(kind);
    expect(act).toThrow(message);
  });
});
