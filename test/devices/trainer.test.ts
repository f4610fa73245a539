/** @file Training with tensors that stay on the device: the CPU trainer's losses. */
import { describe, expect, test } from 'vitest';
import type { Graph } from '../../graph-builder/ir/types.js';
import { adamWDefaults } from '../../runtime/core/adamw.js';
import type { StepTrainer } from '../../runtime/core/device-trainer.js';
import { type Feeds, float32, floats, type Session } from '../../runtime/core/session.js';
import {
  INITIAL_LOSS_SCALE,
  NonFiniteError,
  type TrainableTensor,
  Trainer,
  type TrainerOptions,
} from '../../runtime/core/trainer.js';
import { type Device, isCuda } from '../../runtime/node/devices/device.js';
import { openDeviceTrainer } from '../../runtime/node/devices/open-trainer.js';
import { goldenConfig, goldenFeeds, norm, openGraph, readTensors } from '../support/golden.js';
import { gradientGraph } from '../support/models.js';
import { isSkipped, device as tested } from './adapter.js';
import { openOn } from './open.js';

type Tensors = Map<string, TrainableTensor>;

const weights = { ...readTensors('blip/weights.safetensors'), ...readTensors('lora/adapters.safetensors') };

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

const options: TrainerOptions = {
  ...adamWDefaults,
  clip: 1,
  weightDecay: 0.5, // so that a tensor without decay shows
  rateOf: (name) => (name.endsWith('lora_B.weight') ? 2 : 1),
  decayOf: (name) => (name.endsWith('lora_A.weight') ? 0 : 1),
};
const LR = 1e-3;

/** The golden batch as parts whose gradients add up: the whole twice, each at half its weight. */
function halves(): Feeds[] {
  const { label_weights, ...feeds } = goldenFeeds();
  const half = float32(
    floats(label_weights).map((w) => w / 2),
    label_weights!.dims,
  );
  return [0, 1].map(() => ({ ...feeds, label_weights: half }));
}

/** As `openTrainer` does: CUDA has no device tensors in onnxruntime-node. */
async function onDevice(graph: Graph, device: Device, tensors: Tensors, lossScale = INITIAL_LOSS_SCALE) {
  if (isCuda(device)) {
    const session = (await openOn(graph, { device })) as Session; // it has all outputs on the host
    const trainer: StepTrainer = new Trainer(session, tensors, options, { step: 0, lossScale });
    return { trainer, release: () => session.release() };
  }
  const job = { device, tensors, options, state: { step: 0, lossScale } };
  return openDeviceTrainer(job, (onDevice) => openOn(graph, { device, onDevice }));
}

const difference = (a: Tensors, b: Tensors, key: 'value' | 'expAvg' | 'expAvgSq'): number => {
  const [x, y] = [a, b].map((t) => [...t.values()].flatMap((v) => [...v[key]]));
  return norm(x!.map((v, i) => v - y![i]!)) / norm(y!);
};

/** Both trainers, step by step. Differences of 1e-7 in a sum grow with every step: see the tolerances. */
async function compare(graph: Graph, device: Device, microBatches: () => Feeds[], steps = 20): Promise<void> {
  const [own, expected] = [trainables(graph), trainables(graph)];
  const session = await openGraph(graph);
  const trainer = new Trainer(session, expected, options, { step: 0, lossScale: INITIAL_LOSS_SCALE });
  const opened = await onDevice(graph, device, own);
  for (let step = 1; step <= steps; step++) {
    const a = await opened.trainer.step(microBatches(), LR);
    const b = await trainer.step(microBatches(), LR);
    const off = (key: 'loss' | 'gradientNorm') => Math.abs(a[key] / b[key] - 1);
    expect(off('loss'), `loss of step ${step}`).toBeLessThan(1e-4);
    expect(off('gradientNorm'), `gradients of step ${step}`).toBeLessThan(step === 1 ? 1e-5 : 1e-2);
    expect(norm(a.tokenLosses.map((v, i) => v - b.tokenLosses[i]!))).toBeLessThan(1e-3 * norm(b.tokenLosses));
    expect(a.updated).toBe(true);
  }
  await opened.trainer.readBack?.();
  expect(opened.trainer.state).toEqual(trainer.state);
  expect(difference(own, expected, 'value')).toBeLessThan(1e-3);
  expect(difference(own, expected, 'expAvg')).toBeLessThan(1e-2);
  expect(difference(own, expected, 'expAvgSq')).toBeLessThan(1e-2);
  await opened.release();
  await session.release();
}

const graphs = {
  'lora-r4 F/P/P': gradientGraph(goldenConfig, 'lora-r4', { placement: 'F/P/P' }),
  'lora-r4 T/T/P': gradientGraph(goldenConfig, 'lora-r4', { placement: 'T/T/P' }),
};

describe.each(Object.entries(graphs))('%s', (_, graph) => {
  test('the device trainer on the CPU equals the trainer', () =>
    compare(graph, 'cpu', () => [goldenFeeds()]));

  test.skipIf(isSkipped)(`20 steps on ${tested} equal the CPU`, { timeout: 300_000 }, () =>
    compare(graph, tested, () => [goldenFeeds()]),
  );
});

describe.skipIf(isSkipped)(tested, { timeout: 300_000 }, () => {
  const graph = graphs['lora-r4 F/P/P'];

  test('gradients of micro-batches add up on the device', () => compare(graph, tested, halves, 4));

  test('an overflow halves the loss scale and changes nothing else; training goes on', async () => {
    const tensors = trainables(graph);
    const { trainer, release } = await onDevice(graph, tested, tensors, 2 ** 127);
    expect((await trainer.step(halves().map(loud), LR)).updated).toBe(false);
    expect(trainer.state).toEqual({ step: 0, lossScale: 2 ** 126 });
    await trainer.readBack?.();
    expect(tensors).toEqual(trainables(graph));
    trainer.state.lossScale = 2 ** 100; // what the halving comes to
    expect((await trainer.step(halves().map(loud), LR)).updated).toBe(true);
    await trainer.readBack?.();
    expect(difference(tensors, trainables(graph), 'value')).toBeGreaterThan(0);
    await release();
  });

  test('a loss that is not a number is an error; the tensors stay', async () => {
    const tensors = trainables(graph);
    const { trainer, release } = await onDevice(graph, tested, tensors, 1);
    await trainer.step([goldenFeeds()], LR);
    await trainer.readBack?.();
    const before = structuredClone(tensors);
    const broken = { ...goldenFeeds(), label_weights: filled(goldenFeeds(), Number.NaN) };
    await expect(trainer.step([broken], LR)).rejects.toThrow(NonFiniteError);
    await trainer.step([goldenFeeds()], 0); // so that there is something to read back
    await trainer.readBack?.();
    expect(difference(tensors, before, 'value')).toBeLessThan(1e-7);
    await release();
  });
});

function filled(feeds: Feeds, value: number) {
  const { dims } = feeds.label_weights!;
  return float32(new Float32Array(dims.reduce((p, n) => p * n, 1)).fill(value), dims);
}

/** Gradients 256 times larger. */
function loud(feeds: Feeds): Feeds {
  const { data, dims } = feeds.label_weights!;
  return {
    ...feeds,
    label_weights: float32(
      (data as Float32Array).map((w) => 256 * w),
      dims,
    ),
  };
}
