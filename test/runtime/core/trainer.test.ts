/** @file The trainer on the golden model: loss scale, clipping, batches cut and put together in many ways. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Graph } from '../../../graph-builder/ir/types.js';
import { adamWDefaults } from '../../../runtime/core/adamw.js';
import { batchFeeds, labelCount, type Sample, seedFeeds } from '../../../runtime/core/batch.js';
import { type Feeds, float32, floats, type Session, type Tensor } from '../../../runtime/core/session.js';
import {
  INITIAL_LOSS_SCALE,
  NonFiniteError,
  type TrainableTensor,
  Trainer,
} from '../../../runtime/core/trainer.js';
import { goldenConfig, goldenFeeds, openGraph, readTensors } from '../../support/golden.js';
import { gradientGraph, trainingGraph } from '../../support/models.js';

type Tensors = Map<string, TrainableTensor>;

const weights = { ...readTensors('blip/weights.safetensors'), ...readTensors('lora/adapters.safetensors') };

/** The golden values of a graph's trainable tensors, copied. */
const trainables = ({ parameters }: Graph): Tensors =>
  new Map(
    parameters
      .filter((p) => p.trainable)
      .map(({ name }) => {
        const value = floats(weights[name]).slice();
        const zeros = () => new Float32Array(value.length);
        return [name, { shape: weights[name]!.dims, value, expAvg: zeros(), expAvgSq: zeros() }];
      }),
  );

const options = { ...adamWDefaults, weightDecay: 0.05, clip: 0 };
const newTrainer = (session: Session, tensors: Tensors, lossScale = INITIAL_LOSS_SCALE, clip = 0) =>
  new Trainer(session, tensors, { ...options, clip }, { step: 0, lossScale });

const relative = (a: number, b: number): number => Math.abs(a - b) / Math.abs(b);

const variants = {
  'F/P/P': gradientGraph(goldenConfig, 'lora-r4', { placement: 'F/P/P' }),
  'T/T/P': gradientGraph(goldenConfig, 'lora-r4', { placement: 'T/T/P' }),
  full: gradientGraph(goldenConfig, 'full', {}),
};
const dropoutGraph = trainingGraph(goldenConfig, 'lora-r4', { placement: 'T/T/P' });

const sessions: Record<string, Session> = {};
beforeAll(async () => {
  for (const [name, graph] of Object.entries({ ...variants, dropout: dropoutGraph }))
    sessions[name] = await openGraph(graph);
});
afterAll(async () => {
  for (const session of Object.values(sessions)) await session.release();
});

describe('loss scale', () => {
  // The golden gradients are below 2: 256 times the loss goes beyond 2^128 with the largest scale.
  const { label_weights, ...feeds } = goldenFeeds();
  const loud = {
    ...feeds,
    label_weights: float32(
      floats(label_weights).map((w) => 256 * w),
      label_weights!.dims,
    ),
  };
  const run = async (lossScale: number, steps: number) => {
    const tensors = trainables(variants['T/T/P']);
    const trainer = newTrainer(sessions['T/T/P']!, tensors, lossScale);
    const results = [];
    for (let i = 0; i < steps; i++) results.push(await trainer.step([loud], 1e-3));
    return { tensors, trainer, results };
  };

  test('1 and 2^32 give equal losses: a power of two is divided out exactly', async () => {
    const [one, large] = [await run(1, 3), await run(2 ** 32, 3)];
    expect(large.results.map((r) => r.loss)).toEqual(one.results.map((r) => r.loss));
    one.results.forEach(({ gradientNorm }, i) => {
      expect(relative(large.results[i]!.gradientNorm, gradientNorm)).toBeLessThan(1e-6);
    });
  });

  test('an overflow halves it and changes nothing else', async () => {
    const { tensors, trainer, results } = await run(2 ** 127, 1);
    expect(results[0]!.updated).toBe(false);
    expect(Number.isFinite(results[0]!.loss)).toBe(true);
    expect(trainer.state).toEqual({ step: 0, lossScale: 2 ** 126 });
    for (const [name, { value, expAvg, expAvgSq }] of tensors) {
      expect(value, name).toEqual(floats(weights[name]));
      expect([...expAvg, ...expAvgSq].every((m) => m === 0)).toBe(true);
    }
  });

  test('halving ends where the gradients fit, and training goes on', async () => {
    const { trainer, results } = await run(2 ** 127, 16);
    const skipped = results.filter((r) => !r.updated).length;
    expect(skipped).toBeGreaterThan(0);
    expect(trainer.state).toEqual({ step: 16 - skipped, lossScale: 2 ** (127 - skipped) });
    const normal = await run(2 ** 32, 16 - skipped);
    expect(results.at(-1)!.loss).toBe(normal.results.at(-1)!.loss);
  });
});

describe('numbers that are not finite', () => {
  /** A session of one trainable tensor w. */
  const fake = (loss: number, gradient: readonly number[]): Session => ({
    inputNames: [],
    outputNames: [],
    run: async () => {
      const grad = float32(Float32Array.from(gradient), [gradient.length]);
      return { loss: float32(Float32Array.of(loss), []), token_losses: grad, 'w.grad': grad };
    },
    release: async () => {},
  });
  const one = (length = 2): Tensors =>
    new Map([
      [
        'w',
        {
          shape: [length],
          value: new Float32Array(length).fill(1),
          expAvg: new Float32Array(length),
          expAvgSq: new Float32Array(length),
        },
      ],
    ]);

  test.each([Number.NaN, Number.POSITIVE_INFINITY])(
    'a loss of %d is an error and changes nothing',
    async (loss) => {
      const tensors = one();
      const trainer = newTrainer(fake(loss, [1, 1]), tensors);
      await expect(trainer.step([{}], 1e-3)).rejects.toThrow(NonFiniteError);
      await expect(trainer.step([{}], 1e-3)).rejects.toThrow(`the loss is ${loss}`);
      expect(tensors).toEqual(one());
      expect(trainer.state).toEqual({ step: 0, lossScale: INITIAL_LOSS_SCALE });
    },
  );

  test('a gradient that is NaN at a loss scale of 1 is an error, before that a smaller scale is tried', async () => {
    const tensors = one();
    const trainer = newTrainer(fake(1, [Number.NaN, 1]), tensors, 2);
    expect((await trainer.step([{}], 1e-3)).updated).toBe(false);
    await expect(trainer.step([{}], 1e-3)).rejects.toThrow('a gradient is not finite, that of w');
    expect(tensors).toEqual(one());
  });

  test('of several gradients the first by name that is not finite is named', async () => {
    const grad = (...values: number[]) => float32(Float32Array.from(values), [values.length]);
    const outputs = { 'b.grad': grad(1, Number.NaN), 'a.grad': grad(1, 1), 'c.grad': grad(Number.NaN, 1) };
    const session: Session = {
      ...fake(1, [1]),
      run: async () => ({ ...outputs, loss: grad(1), token_losses: grad(1) }),
    };
    const tensors: Tensors = new Map(['c', 'b', 'a'].map((name) => [name, one().get('w')!]));
    await expect(newTrainer(session, tensors, 1).step([{}], 1e-3)).rejects.toThrow('that of b');
  });

  test('clipping bounds the norm of all gradients; the norm reported is the one before', async () => {
    const [free, tight] = [one(), one()];
    const gradient = [3 * 2 ** 32, 4 * 2 ** 32]; // norm 5 after the loss scale
    const { gradientNorm } = await newTrainer(fake(1, gradient), free, 2 ** 32, 10).step([{}], 1e-3);
    expect(gradientNorm).toBe(5);
    expect(Array.from(free.get('w')!.expAvg)).toEqual([Math.fround(0.3), Math.fround(0.4)]);
    expect((await newTrainer(fake(1, gradient), tight, 2 ** 32, 1).step([{}], 1e-3)).gradientNorm).toBe(5);
    [0.06, 0.08].forEach((m, i) => {
      expect(tight.get('w')!.expAvg[i]).toBeCloseTo(m, 7);
    });
  });
});

test('rates and decays are those of each tensor', async () => {
  const tensor = () => ({
    shape: [1],
    value: Float32Array.of(1),
    expAvg: new Float32Array(1),
    expAvgSq: new Float32Array(1),
  });
  const tensors: Tensors = new Map([
    ['plain', tensor()],
    ['fast', tensor()],
    ['spared', tensor()],
  ]);
  const zero = float32(new Float32Array(1), [1]);
  const session: Session = {
    inputNames: [],
    outputNames: [],
    run: async () => ({
      loss: zero,
      token_losses: zero,
      'plain.grad': zero,
      'fast.grad': zero,
      'spared.grad': zero,
    }),
    release: async () => {},
  };
  const rateOf = (name: string) => (name === 'fast' ? 16 : 1);
  const decayOf = (name: string) => (name === 'spared' ? 0 : 1);
  const given = { ...adamWDefaults, weightDecay: 0.5, clip: 0, rateOf, decayOf };
  await new Trainer(session, tensors, given, { step: 0, lossScale: 1 }).step([{}], 0.01);
  // without a gradient a tensor only decays, by lr · decay
  const values = [...tensors.values()].map(({ value }) => value[0]);
  expect(values).toEqual([Math.fround(1 - 0.005), Math.fround(1 - 0.08), 1]);
});

describe('batches', () => {
  const inputs = readTensors('blip/inputs.safetensors');
  const row = (t: Tensor, i: number) =>
    Array.from(t.data, Number).slice(i * t.dims[1]!, (i + 1) * t.dims[1]!);
  const masked = (ids: Tensor, mask: Tensor, i: number) =>
    row(ids, i).filter((_, at) => row(mask, i)[at] === 1);
  const samples: Sample[] = [0, 1, 2, 3].map((i) => ({
    qid: `q${i}`,
    imageId: `image${i}`,
    questionIds: masked(inputs.input_ids!, inputs.attention_mask!, i),
    answerIds: masked(inputs.decoder_input_ids!, inputs.decoder_attention_mask!, i),
  }));
  const size = 3 * goldenConfig.imageSize ** 2;
  /** The image of a name's last digit. */
  const pixelValues = (id: string) => {
    const at = Number(id.at(-1)) * size;
    return floats(inputs.pixel_values).slice(at, at + size);
  };
  const feedsOf = (part: readonly Sample[], batchSize: number, epoch = 0): Feeds => {
    const feeds = batchFeeds(part, pixelValues, goldenConfig, batchSize);
    return { ...feeds, ...seedFeeds(part, feeds, [5, epoch]), loss_scale: float32(Float32Array.of(1), []) };
  };

  /** Losses and gradient norms of three steps on micro-batches. */
  async function train(graph: Graph, session: Session, parts: readonly (readonly Sample[])[]) {
    const batch = parts.flat().length;
    const trainer = newTrainer(session, trainables(graph));
    const results = [];
    for (let epoch = 0; epoch < 3; epoch++) {
      const micro = parts.map((part) => feedsOf(part, batch, epoch));
      results.push(await trainer.step(micro, 1e-3));
    }
    return results.map(({ loss, gradientNorm }) => ({ loss, gradientNorm }));
  }
  function expectEqual(a: Awaited<ReturnType<typeof train>>, b: typeof a): void {
    a.forEach(({ loss, gradientNorm }, i) => {
      expect(relative(loss, b[i]!.loss), `loss of step ${i}`).toBeLessThan(1e-5);
      expect(relative(gradientNorm, b[i]!.gradientNorm), `gradients of step ${i}`).toBeLessThan(1e-5);
    });
  }
  const plain = (parts: readonly (readonly Sample[])[]) =>
    train(variants['T/T/P'], sessions['T/T/P']!, parts);
  const noisy = (parts: readonly (readonly Sample[])[]) => train(dropoutGraph, sessions.dropout!, parts);
  const [s0, s1, s2, s3] = samples as [Sample, Sample, Sample, Sample];

  test('feeds made from samples give the golden loss', async () => {
    const { loss } = await newTrainer(sessions['T/T/P']!, trainables(variants['T/T/P'])).step(
      [feedsOf(samples, 4)],
      0,
    );
    const { loss: golden } = await newTrainer(sessions['T/T/P']!, trainables(variants['T/T/P'])).step(
      [goldenFeeds()],
      0,
    );
    expect(relative(loss, golden)).toBeLessThan(1e-6);
    expect(labelCount(samples)).toBe(goldenFeeds().labels!.dims[0]);
  });

  test('two micro-batches of two equal one batch of four, dropout on', async () => {
    const whole = await noisy([samples]);
    expectEqual(
      await noisy([
        [s0, s1],
        [s2, s3],
      ]),
      whole,
    );
    expectEqual(await noisy([[s0], [s1, s2, s3]]), whole);
    const without = await plain([samples]);
    expect(relative(whole[0]!.loss, without[0]!.loss)).toBeGreaterThan(1e-3); // dropout does something
  });

  test('the place in the batch plays no part, dropout on', async () => {
    expectEqual(await noisy([[s3, s1, s0, s2]]), await noisy([samples]));
  });

  test('dropout differs between epochs', async () => {
    const session = sessions.dropout!;
    const loss = async (epoch: number) =>
      (await newTrainer(session, trainables(dropoutGraph)).step([feedsOf(samples, 4, epoch)], 0)).loss;
    expect(await loss(1)).not.toBe(await loss(0));
    expect(await loss(1)).toBe(await loss(1));
  });

  test('an image that two samples share goes in once and counts twice', async () => {
    const shared = [s0, { ...s1, imageId: 'image0' }, s2];
    const apart = [s0, { ...s1, imageId: 'copy0' }, s2];
    expect(feedsOf(shared, 3).pixel_values!.dims[0]).toBe(2);
    expect(feedsOf(apart, 3).pixel_values!.dims[0]).toBe(3);
    expectEqual(await plain([shared]), await plain([apart]));
    const split = [[shared[0]!], [shared[1]!, s2]];
    expectEqual(await noisy(split), await noisy([shared])); // the masks are the image's, in one batch or in two
  });
});
