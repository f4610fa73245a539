/** @file Heat maps against PyTorch on the golden model (make_explain_golden.py), and the deletion test. */
import { beforeAll, describe, expect, test } from 'vitest';
import { verify } from '../../../graph-builder/ir/graph.js';
import { imageEncoderGraph, lossGraph } from '../../../graph-builder/models/miss.js';
import { explainGraph } from '../../../graph-builder/variant/explain.js';
import { parseVariant } from '../../../graph-builder/variant/parse.js';
import { applyVariant } from '../../../graph-builder/variant/variant.js';
import type { Answerer } from '../../../runtime/core/answerer.js';
import { deletionTest, explainAnswer, hidePatches } from '../../../runtime/core/explain.js';
import { type Feeds, float32, floats, type Session, type Tensor } from '../../../runtime/core/session.js';
import { goldenConfig, goldenFeeds, maxDifference, openGraph, readTensors } from '../../support/golden.js';
import {
  DEC,
  goldenAnswers,
  goldenImages,
  goldenQuestions,
  openGoldenAnswerer,
} from '../../support/golden-answerer.js';
import { variantTensors } from '../../support/variants.js';

const expected = readTensors('explain/expected.safetensors');
const base = lossGraph(goldenConfig);
const none = { method: 'frozen' } as const;
const frozen = {
  name: 'base',
  modules: { visual_encoder: none, text_encoder: none, text_decoder: none },
};

let answerer: Answerer;
let session: Session;
let states: Tensor;
beforeAll(async () => {
  answerer = await openGoldenAnswerer();
  session = await openGraph(verify(explainGraph(goldenConfig, frozen)));
  states = await answerer.encodeImages(goldenImages);
});

/** Image states of one image. */
const stateOf = (all: Tensor, i: number): Tensor => {
  const [, tokens, hidden] = all.dims as [number, number, number];
  return float32(floats(all).slice(i * tokens * hidden, (i + 1) * tokens * hidden), [1, tokens, hidden]);
};
const asked = (i: number) => ({ questionIds: goldenQuestions[i]!, answerIds: goldenAnswers[i]! });

test('cross-attention and its gradient equal PyTorch in float64', async () => {
  const { pixel_values, ...feeds } = goldenFeeds();
  const labels = feeds.labels!.dims[0]!;
  const results = await session.run({
    ...feeds,
    image_states: states,
    label_weights: float32(new Float32Array(labels).fill(1), [labels]),
    loss_scale: float32(Float32Array.of(-1), []),
  });
  const names = Object.keys(expected).filter((n) => n.includes('attention.'));
  expect(names).toHaveLength(3 * goldenConfig.textLayers);
  for (const name of names) {
    expect(results[name]!.dims, name).toEqual(expected[name]!.dims);
    const scale = Math.max(...floats(expected[name]).map(Math.abs));
    expect(maxDifference(floats(results[name]), floats(expected[name])), name).toBeLessThan(
      1e-4 * Math.max(1, scale),
    );
    expect(scale, name).toBeGreaterThan(1e-2);
  }
});

test.each([0, 1, 2, 3])(
  'maps of answer %i, alone and without padding, equal those of the padded batch',
  async (i) => {
    const { logProb, attention, gradient } = await explainAnswer(
      session,
      {},
      goldenConfig,
      stateOf(states, i),
      asked(i),
      DEC,
    );
    const patches = attention.rows * attention.columns;
    const of = (name: string) => floats(expected[name]).slice(i * patches, (i + 1) * patches);
    expect(patches).toBe(16);
    expect(Math.abs(logProb - floats(expected.log_prob)[i]!)).toBeLessThan(1e-4);
    expect(maxDifference(attention.values, of('attention_map'))).toBeLessThan(1e-4);
    expect(maxDifference(gradient.values, of('gradient_map'))).toBeLessThan(1e-4);
    expect(Math.max(...of('gradient_map'))).toBeGreaterThan(1e-2);
  },
);

describe.each([
  ['lora-r4', 'P/P/P'],
  ['prefix-n10', 'F/P/P'],
  ['ia3', 'P/P/P'],
] as const)('%s at %s', (name, placement) => {
  test('the explained answer has the loss that training has', async () => {
    const variant = parseVariant(name, base.parameters, { placement });
    const trained: Feeds = Object.fromEntries(
      applyVariant(base, variant, 'evaluation')
        .parameters.filter((p) => p.trainable)
        .map((p) => [p.name, variantTensors(name)[p.name]!]),
    );
    const own = await openGraph(verify(explainGraph(goldenConfig, variant)));
    const whole = await openGraph(
      applyVariant(lossGraph({ ...goldenConfig, labelSmoothing: 0 }), variant, 'evaluation'),
    );
    const images = await openGraph(applyVariant(imageEncoderGraph(goldenConfig), variant, 'evaluation'));
    const all = (await images.run({ ...trained, ...goldenFeeds() })).image_states!;
    const { logProb, gradient } = await explainAnswer(
      own,
      trained,
      goldenConfig,
      stateOf(all, 1),
      asked(1),
      DEC,
    );
    const { token_losses } = await whole.run({ ...trained, ...goldenFeeds() });
    const before = goldenAnswers[0]!.length;
    const sum = floats(token_losses)
      .slice(before, before + goldenAnswers[1]!.length)
      .reduce((a, b) => a + b, 0);
    expect(Math.abs(logProb + sum)).toBeLessThan(1e-4);
    expect(Math.abs(logProb - floats(expected.log_prob)[1]!)).toBeGreaterThan(1e-2); // the adapter is in it
    expect(Math.max(...gradient.values)).toBeGreaterThan(0);
    for (const opened of [own, whole, images]) await opened.release();
  });
});

test('hidden patches have the mean colour, the others stay', () => {
  const pixels = goldenImages[0]!;
  const hidden = hidePatches(pixels, [0, 5], goldenConfig);
  const at = (c: number, y: number, x: number) => c * 1024 + y * 32 + x;
  const mean = pixels.slice(1024, 2048).reduce((a, b) => a + b, 0) / 1024;
  for (const [y, x] of [
    [0, 0],
    [7, 7],
    [8, 8],
    [15, 15],
  ] as const)
    expect(hidden[at(1, y, x)]).toBeCloseTo(mean, 5);
  for (const [y, x] of [
    [0, 8],
    [8, 7],
    [16, 8],
    [31, 31],
  ] as const)
    expect(hidden[at(1, y, x)]).toBe(pixels[at(1, y, x)]);
  expect(hidden.filter((v, i) => v !== pixels[i]).length).toBe(2 * 3 * 64);
});

test('the deletion test hides what a map names, and the map of the greatest losses wins it', async () => {
  // one patch at a time: what the answer loses without it
  const losses: number[] = [];
  const probability = async (patches: number[]): Promise<number> => {
    const image = await answerer.encodeImages([hidePatches(goldenImages[1]!, patches, goldenConfig)]);
    const question = { image: 0, ids: goldenQuestions[1]! };
    const [[logProb]] = (await answerer.temper(image, [question], [goldenAnswers[1]!], [1])) as [[number]];
    return Math.exp(logProb);
  };
  const whole = await probability([]);
  for (let p = 0; p < 16; p++) losses.push(whole - (await probability([p])));
  const options = { share: 1 / 16, draws: 39, seed: 0 };
  const run = (values: number[]) =>
    deletionTest(
      answerer,
      goldenConfig,
      goldenImages[1]!,
      asked(1),
      { rows: 4, columns: 4, values: Float32Array.from(values) },
      options,
    );
  const best = await run(losses);
  expect(best.patches).toBe(1);
  expect(best.whole).toBeCloseTo(whole, 6);
  expect(best.lost).toBeCloseTo(Math.max(...losses), 5);
  expect(best.lost).toBeGreaterThanOrEqual(best.high - 1e-7);
  expect(best.random).toHaveLength(39);
  const worst = await run(losses.map((l) => -l));
  expect(worst.p).toBeGreaterThan(0.9);
  expect(worst.random).toEqual(best.random); // drawn by seed alone
});
