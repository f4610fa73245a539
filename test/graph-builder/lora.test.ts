/** @file LoRA as a rewrite: step 0, what is trainable, dropout and what is said about options that do not fit. */
import { describe, expect, test } from 'vitest';
import { RewriteError, UserError } from '../../graph-builder/errors.js';
import { GraphBuilder } from '../../graph-builder/ir/builder.js';
import { printGraph, verify } from '../../graph-builder/ir/graph.js';
import { moduleOf } from '../../graph-builder/models/config.js';
import { logitsGraph, lossGraph } from '../../graph-builder/models/miss.js';
import { dropout } from '../../graph-builder/nn/dropout.js';
import { loraNames } from '../../graph-builder/rewrites/lora.js';
import { parseVariant, type VariantOptions } from '../../graph-builder/variant/parse.js';
import { adaptersOf, applyVariant, placementOf } from '../../graph-builder/variant/variant.js';
import { type Feeds, float32, floats, int32, type Tensor } from '../../runtime/core/session.js';
import { goldenConfig, goldenFeeds, maxDifference, openGraph, readTensors } from '../support/golden.js';
import { servingGraph, trainingGraph } from '../support/models.js';
import { seededNormal, sizeOf, withSession } from '../support/one-op.js';

const base = lossGraph(goldenConfig);
const weights = readTensors('blip/weights.safetensors');
const adapters = readTensors('lora/adapters.safetensors');
const parse = (name: string, options: VariantOptions = {}) => parseVariant(name, base.parameters, options);

/** Adapters of a graph as they start: A random, B zero. A symbolic rank is `rank`. */
function freshAdapters({ parameters }: ReturnType<typeof logitsGraph>, rank = 4): Feeds {
  const random = seededNormal(1);
  const adapter = parameters.filter((p) => p.trainable);
  return Object.fromEntries(
    adapter.map((p): [string, Tensor] => {
      const dims = p.shape.map((d) => (d === 'rank' ? rank : (d as number)));
      const data = p.init === 'zeros' ? new Float32Array(sizeOf(dims)) : random(sizeOf(dims));
      return [p.name, float32(data, dims)];
    }),
  );
}

describe('step 0', () => {
  test.each(['F/P/P', 'P/P/P', 'P/F/F'])(
    'at %s the logits are exactly those of the base',
    async (placement) => {
      const forward = logitsGraph(goldenConfig);
      const adapted = verify(applyVariant(forward, parse('lora-r4', { placement }), 'evaluation'));
      const feeds = { ...goldenFeeds(), ...freshAdapters(adapted) };
      const expected = await withSession(forward, (s) => s.run(feeds));
      const { logits } = await withSession(adapted, (s) => s.run(feeds));
      expect(Array.from(floats(logits))).toEqual(Array.from(floats(expected.logits)));
      const b = Object.keys(feeds).find((name) => name.endsWith('lora_B.weight'))!;
      const moved = float32(seededNormal(2)(feeds[b]!.data.length), feeds[b]!.dims);
      const changed = await withSession(adapted, (s) => s.run({ ...feeds, [b]: moved }));
      expect(maxDifference(floats(changed.logits), floats(logits))).toBeGreaterThan(1e-4); // the path is there
    },
  );

  test.each([1, 4, 7])('one serving graph takes adapters of rank %i', async (rank) => {
    const serving = servingGraph(logitsGraph(goldenConfig), goldenConfig, 'lora-r4', { placement: 'F/P/P' });
    const fixed = applyVariant(
      logitsGraph(goldenConfig),
      parse(`lora-r${rank}`, { placement: 'F/P/P', alpha: rank }),
      'evaluation',
    );
    const random = seededNormal(5);
    const given = Object.fromEntries(
      Object.entries(freshAdapters(serving, rank)).map(([name, { dims }]): [string, Tensor] => [
        name,
        float32(
          random(sizeOf(dims)).map((v) => 0.1 * v),
          dims,
        ),
      ]),
    );
    const feeds = { ...goldenFeeds(), ...given };
    const [a, b] = [
      await withSession(serving, (s) => s.run(feeds)),
      await withSession(fixed, (s) => s.run(feeds)),
    ];
    expect(maxDifference(floats(a.logits), floats(b.logits))).toBeLessThan(1e-5);
  });
});

describe('what is trainable', () => {
  test.each(['F/P/P', 'P/P/P', 'F/T/P', 'T/T/P', 'T/P/F'])('%s', (placement) => {
    const variant = parse('lora-r4', { placement });
    const graph = verify(applyVariant(base, variant, 'evaluation'));
    const sites = adaptersOf(variant).flatMap((settings) => settings.sites);
    const modes = placementOf(variant);
    const expected = new Set(
      sites.flatMap((site) => {
        const { a, b } = loraNames(site);
        return [a, b];
      }),
    );
    for (const p of graph.parameters) {
      const isAdapter = p.name.includes('.lora_');
      expect(isAdapter, p.name).toBe(expected.delete(p.name) && isAdapter);
      expect(p.trainable, p.name).toBe(isAdapter || modes[moduleOf(p.name)] === 'T');
      if (isAdapter) expect(modes[moduleOf(p.name)], p.name).toBe('P');
    }
    expect([...expected]).toEqual([]);
    expect(base.parameters.every((p) => !p.trainable)).toBe(true); // the rewrite changed nothing in place
  });

  test('adapters have the shapes of PEFT, B starts at zero', () => {
    const graph = applyVariant(base, parse('lora-r4', { placement: 'P/P/P' }), 'evaluation');
    const find = (name: string) => graph.parameters.find((p) => p.name === name)!;
    const query = 'text_encoder.encoder.layer.0.attention.self.query.lora_';
    expect([find(`${query}A.weight`).shape, find(`${query}B.weight`).shape]).toEqual([
      [4, 64],
      [64, 4],
    ]);
    expect([find(`${query}A.weight`).init, find(`${query}B.weight`).init]).toEqual([
      'kaimingUniform',
      'zeros',
    ]);
    const patch = 'visual_encoder.patch_embed.proj.lora_';
    expect([find(`${patch}A.weight`).shape, find(`${patch}B.weight`).shape]).toEqual([
      [4, 3, 8, 8],
      [64, 4, 1, 1],
    ]);
  });
});

describe('options that do not fit', () => {
  const apply = (name: string, options: VariantOptions) =>
    applyVariant(base, parse(name, options), 'evaluation');
  const P = { placement: 'F/P/P' };

  test.each<[string, () => unknown, typeof UserError, string, string, string]>([
    [
      'rank zero',
      () => parse('lora-r0'),
      UserError,
      'rank 0 is below 1',
      '--variant',
      'at least 1, e.g. lora-r8',
    ],
    ['rank negative', () => parse('lora-r-3'), UserError, 'rank -3 is below 1', '--variant', 'at least 1'],
    [
      'rank too large',
      () => apply('lora-r64', P),
      RewriteError,
      "rank 64 is not below the matrix's size [64,64]",
      'text_encoder.encoder.layer.0.attention.self.key.weight',
      'choose a rank below 64',
    ],
    [
      'unknown',
      () => parse('lora8'),
      UserError,
      "unknown variant 'lora8'",
      '--variant',
      'choose lora-rN, rslora-rN or dora-rN (e.g. lora-r8: LoRA of rank 8), ia3, prefix-nN',
    ],
    ['no rank', () => parse('lora-r'), UserError, "unknown variant 'lora-r'", '--variant', 'lora-rN'],
    [
      'half a rank',
      () => parse('lora-r1.5'),
      UserError,
      "unknown variant 'lora-r1.5'",
      '--variant',
      'lora-rN',
    ],
    [
      'two modules',
      () => parse('lora-r4', { placement: 'F/P' }),
      UserError,
      "placement 'F/P' is not three of F, T and P",
      '--placement',
      'e.g. F/P/P',
    ],
    [
      'a strange mode',
      () => parse('lora-r4', { placement: 'F/X/P' }),
      UserError,
      "placement 'F/X/P'",
      '--placement',
      'F frozen, T trained, P adapted',
    ],
    [
      'full with a placement',
      () => parse('full', { placement: 'F/T/T' }),
      UserError,
      'full means T/T/T, not F/T/T',
      '--placement',
      'leave --placement out, or choose lora-rN',
    ],
    [
      'sites of a frozen module',
      () => parse('lora-r4', { ...P, sites: 'visual_encoder.**' }),
      RewriteError,
      "the pattern 'visual_encoder.**' matches no layer that this method can adapt",
      '--sites',
      'text_encoder.encoder.layer.*.attention.self.query.weight',
    ],
    [
      'sites with a slip',
      () => parse('lora-r4', { ...P, sites: '**.qery.weight' }),
      RewriteError,
      "the pattern '**.qery.weight' matches no layer",
      '--sites',
      'text_encoder.encoder.layer.*.attention.self.key.weight',
    ],
    [
      'no adapted module',
      () => parse('lora-r4', { placement: 'T/T/F' }),
      UserError,
      'no module is adapted by lora-r4',
      '--placement',
      'put a P where the method goes',
    ],
    [
      'dropout 1',
      () => parse('lora-r4', { ...P, dropout: 1 }),
      UserError,
      'dropout 1 is not in [0, 1)',
      '--lora-dropout',
      'e.g. 0.1',
    ],
    [
      'adapters twice',
      () => applyVariant(apply('lora-r4', P), parse('lora-r4', P), 'evaluation'),
      RewriteError,
      'the site has an adapter already',
      'text_encoder.encoder.layer.0.attention.self.key.weight',
      'merge it first',
    ],
  ])('%s', (_name, act, kind, what, where, remedy) => {
    let error: unknown;
    try {
      act();
    } catch (e) {
      error = e;
    }
    expect(error).toBeInstanceOf(kind);
    const shown = error as UserError;
    expect(shown.what).toContain(what);
    expect(shown.where).toBe(where);
    expect(shown.remedy).toContain(remedy);
  });

  test('small letters and T/T/T for full are taken', () => {
    expect(parse('lora-r4', { placement: 'f/p/p' })).toEqual(parse('lora-r4', P));
    expect(parse('full', { placement: 't/t/t' })).toEqual(parse('full'));
  });
});

/** Seeds as the trainer makes them: odd int32 numbers. */
function seeds(dims: readonly number[], seed: number): Tensor {
  const random = seededNormal(seed)(2 * sizeOf(dims));
  const bits = (i: number) => Math.floor((Math.abs(random[i]! * 1e6) % 1) * 2 ** 16);
  return int32(
    Array.from({ length: sizeOf(dims) }, (_, i) => (bits(2 * i) << 16) | bits(2 * i + 1) | 1),
    dims,
  );
}

describe('dropout while training', () => {
  const feeds = goldenFeeds();
  const [batch, questionTokens] = feeds.question_ids!.dims as [number, number];
  const [, answerTokens] = feeds.answer_ids!.dims as [number, number];
  const seeded: Feeds = {
    ...feeds,
    image_seed: seeds([batch], 1),
    question_seed: seeds([batch, questionTokens], 2),
    answer_seed: seeds([batch, answerTokens], 3),
  };
  const perSample = [
    'pixel_values',
    ...['question', 'answer'].flatMap((kind) =>
      ['ids', 'mask', 'position_ids', 'seed'].map((part) => `${kind}_${part}`),
    ),
    'image_seed',
  ];

  /** The first two samples in each other's places, with or without their seeds. Labels stay in their order. */
  function swapped(given: Feeds, withSeeds: boolean): Feeds {
    const swap = ({ data, dims }: Tensor): Tensor => {
      const row = data.length / batch;
      const copy = data.slice() as typeof data;
      copy.set(data.subarray(0, row) as never, row);
      copy.set(data.subarray(row, 2 * row) as never, 0);
      return { data: copy, dims };
    };
    const moved = perSample.filter((name) => withSeeds || !name.endsWith('_seed'));
    const at = (position: number): number => {
      const sample = Math.floor(position / answerTokens);
      return sample > 1 ? position : position + (sample === 0 ? answerTokens : -answerTokens);
    };
    return {
      ...given,
      ...Object.fromEntries(moved.map((name) => [name, swap(given[name]!)])),
      label_positions: int32(
        Array.from(given.label_positions!.data as Int32Array, at),
        given.label_positions!.dims,
      ),
    };
  }

  test.each(['F/P/P', 'P/P/P', 'T/T/P'])(
    'at %s the masks go with the sample, not with its place',
    async (placement) => {
      const session = await openGraph(trainingGraph(goldenConfig, 'lora-r4', { placement }));
      const losses = async (given: Feeds) =>
        floats((await session.run({ ...weights, ...adapters, ...given }, ['token_losses'])).token_losses);
      const plain = await losses(seeded);
      expect(maxDifference(await losses(swapped(seeded, true)), plain)).toBeLessThan(1e-5);
      expect(maxDifference(await losses(swapped(seeded, false)), plain)).toBeGreaterThan(1e-2);
      expect(
        maxDifference(await losses({ ...seeded, answer_seed: seeds([batch, answerTokens], 9) }), plain),
      ).toBeGreaterThan(1e-2);
      expect(Array.from(await losses(seeded))).toEqual(Array.from(plain));
      await session.release();
    },
  );

  test('rate 0 is no dropout', () => {
    const variant = parse('lora-r4', { placement: 'P/P/P', dropout: 0 });
    const training = applyVariant(base, variant, 'training');
    expect(printGraph(training)).toBe(printGraph(applyVariant(base, variant, 'evaluation')));
    const off = { visual_encoder: 0, text_encoder: 0, text_decoder: 0 };
    const nodes = (graph: typeof base) =>
      printGraph(graph)
        .split('\n')
        .filter((line) => !/^input \w+_seed /.test(line));
    expect(nodes(lossGraph(goldenConfig, off))).toEqual(nodes(base));
  });

  const ROWS = 2000;
  const COLUMNS = 96;
  /** Kept elements, 1 or 0, of a table of ones, for each site. */
  async function masks(rate: number, sites: readonly string[]): Promise<readonly Float32Array[]> {
    const g = new GraphBuilder();
    const x = g.input('x', 'float32', ['rows', COLUMNS]);
    const rows = g.input('seeds', 'int32', ['rows', 1]);
    const outputs = Object.fromEntries(sites.map((site) => [site, dropout(g, x, { rate, rows, site })]));
    const ones = float32(new Float32Array(ROWS * COLUMNS).fill(1), [ROWS, COLUMNS]);
    const results = await withSession(verify(g.finish(outputs)), (s) =>
      s.run({ x: ones, seeds: seeds([ROWS, 1], 4) }),
    );
    return sites.map((site) => floats(results[site]));
  }
  const share = (values: readonly boolean[]) => values.filter(Boolean).length / values.length;
  /** 4 standard deviations of a share of the table's elements */
  const margin = (p: number) => 4 * Math.sqrt((p * (1 - p)) / (ROWS * COLUMNS));

  test.each([0.1, 0.25, 0.5])('rate %d drops that share and keeps the mean', async (rate) => {
    const [mask] = (await masks(rate, ['site'])) as [Float32Array];
    const kept = Math.fround(1 / (1 - rate));
    expect([...new Set(mask)].sort()).toEqual([0, kept]);
    expect(Math.abs(share(Array.from(mask, (v) => v === 0)) - rate)).toBeLessThan(margin(rate));
  });

  test('sites, rows and columns have masks of their own', async () => {
    const rate = 0.5;
    const [a, b] = (await masks(rate, ['layer.0.query.lora_A.weight', 'layer.0.key.lora_A.weight'])) as [
      Float32Array,
      Float32Array,
    ];
    const agree = (shift: number, other: Float32Array) =>
      share(Array.from(a, (v, i) => v === other[(i + shift) % a.length]));
    expect(Math.abs(agree(0, b) - 0.5)).toBeLessThan(margin(0.5)); // another site
    expect(Math.abs(agree(1, a) - 0.5)).toBeLessThan(margin(0.5)); // the next column
    expect(Math.abs(agree(COLUMNS, a) - 0.5)).toBeLessThan(margin(0.5)); // the next row
  });
});
