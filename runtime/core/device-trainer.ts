/** @file The training step on a device that keeps trained tensors, moments and gradients in its memory. */
import { copyName, gradientName, momentNames, nextName } from '../../graph-builder/models/optimizer.js';
import { type DeviceSession, dispose, type Located, onHost } from './device-session.js';
import { type Feeds, float32, floats, type Tensor } from './session.js';
import {
  NonFiniteError,
  type StepResult,
  type TrainableTensor,
  type TrainerOptions,
  type TrainerState,
} from './trainer.js';

/** What the training loop needs of a trainer: `Trainer` and {@link DeviceTrainer}. */
export interface StepTrainer {
  readonly state: TrainerState;
  step(microBatches: readonly Feeds[], lr: number): Promise<StepResult>;
  /** Brings the host's tensors up to date; left out where they always are. */
  readBack?(): Promise<void>;
}

/** Sessions on one device. All but scalars and token losses stay there. */
export interface TrainerSessions {
  readonly training: DeviceSession;
  /** of `adamWGraph` */
  readonly optimizer: DeviceSession;
  /** of `gradientSumGraph`; asked for at the first batch of several parts */
  readonly sum: () => Promise<DeviceSession>;
  /** of `copyGraph`, its outputs on the host; asked for at the first read-back */
  readonly copy: () => Promise<DeviceSession>;
}

type LocatedTensors = Record<string, Located>;

/** Moments below float32's normal range are stored as 0, as the host's optimizer does. */
const TINY = 2 ** -126;

const scalar = (value: number): Tensor => float32(Float32Array.of(value), []);

/**
 * The same numbers as `Trainer`, up to float32 sums in another order.
 *
 * A step reads back the loss, the token losses and the gradients' norm, nothing else. New tensors are written
 * beside the old ones, which are then freed: no buffer is read and written at once, which WebGPU forbids, and the
 * freed ones serve the next step. The host's `tensors` are those of the last {@link readBack}.
 */
export class DeviceTrainer implements StepTrainer {
  private readonly names: readonly string[];
  /** values and moments by the optimizer's input names */
  private held: LocatedTensors;
  private isHostCurrent = true;

  constructor(
    private readonly sessions: TrainerSessions,
    private readonly tensors: ReadonlyMap<string, TrainableTensor>,
    private readonly options: TrainerOptions,
    readonly state: TrainerState,
  ) {
    this.names = [...tensors.keys()];
    const given = [...tensors].flatMap(([name, { shape, value, expAvg, expAvgSq }]) => {
      const [first, second] = momentNames(name);
      return [
        [name, float32(value, shape)],
        [first, float32(expAvg, shape)],
        [second, float32(expAvgSq, shape)],
      ] as const;
    });
    this.held = Object.fromEntries(given); // the first step carries them to the device
  }

  /**
   * One update from one or several micro-batches, whose gradients add up.
   *
   * @throws {NonFiniteError} when the loss is not finite, or the gradients at a loss scale of 1.
   */
  async step(microBatches: readonly Feeds[], lr: number): Promise<StepResult> {
    const tokenLosses: number[] = [];
    let loss = 0;
    let gradients: LocatedTensors | undefined;
    for (const feeds of microBatches) {
      const results = await this.sessions.training.run({
        ...feeds,
        ...this.held,
        loss_scale: scalar(this.state.lossScale),
      });
      loss += floats(onHost(results.loss))[0]!;
      tokenLosses.push(...floats(onHost(results.token_losses)));
      const part = this.pick(results, gradientName);
      gradients = gradients ? await this.add(gradients, part) : part;
    }
    try {
      if (!Number.isFinite(loss)) throw new NonFiniteError(`the loss is ${loss}`);
      const { gradientNorm, updated } = await this.update(gradients!, lr);
      return { loss, tokenLosses: Float32Array.from(tokenLosses), gradientNorm, updated };
    } finally {
      dispose(Object.values(gradients!));
    }
  }

  /** Copies values and moments into the host's tensors. */
  async readBack(): Promise<void> {
    if (this.isHostCurrent) return;
    const kinds = [
      ['value', (name: string) => name],
      ['expAvg', (name: string) => momentNames(name)[0]],
      ['expAvgSq', (name: string) => momentNames(name)[1]],
    ] as const;
    for (const [kind, nameOf] of kinds) {
      const copies = await this.copy((name) => this.held[nameOf(name)]!);
      for (const [name, copy] of copies) {
        if (kind !== 'value') flushTiny(copy);
        this.tensors.get(name)![kind].set(copy);
      }
    }
    this.isHostCurrent = true;
  }

  /** Frees the device's memory; the trainer is of no use afterwards. */
  release(): void {
    dispose(Object.values(this.held));
    this.held = {};
  }

  /** The tensors of a session's results that are named after ours. */
  private pick(results: LocatedTensors, nameOf: (name: string) => string): LocatedTensors {
    return Object.fromEntries(this.names.map((name) => [nameOf(name), results[nameOf(name)]!]));
  }

  private async add(a: LocatedTensors, b: LocatedTensors): Promise<LocatedTensors> {
    const others = Object.entries(b).map(([name, tensor]) => [`${name}.other`, tensor] as const);
    const session = await this.sessions.sum();
    const sums = await session.run({ ...a, ...Object.fromEntries(others) });
    dispose([...Object.values(a), ...Object.values(b)]);
    return Object.fromEntries(Object.keys(a).map((name) => [name, sums[nextName(name)]!]));
  }

  private async update(gradients: LocatedTensors, lr: number) {
    const next = await this.sessions.optimizer.run({ ...this.held, ...gradients, ...this.scalars(lr) });
    const { gradient_norm, ...tensors } = next;
    const [gradientNorm] = floats(onHost(gradient_norm)) as unknown as [number];
    if (!Number.isFinite(gradientNorm)) {
      dispose(Object.values(tensors));
      return { gradientNorm, updated: await this.reduceScale(gradients) };
    }
    const held = Object.keys(this.held).map((name) => [name, tensors[nextName(name)]!] as const);
    dispose(Object.values(this.held));
    this.held = Object.fromEntries(held);
    this.isHostCurrent = false;
    this.state.step += 1;
    return { gradientNorm, updated: true };
  }

  /** The optimizer's inputs besides tensors; bias corrections need the host's float64. */
  private scalars(lr: number): Feeds {
    const { clip, beta1, beta2, weightDecay, rateOf = () => 1, decayOf = () => 1 } = this.options;
    const step = this.state.step + 1;
    const perTensor = (of: (name: string) => number) => {
      const values = this.names.map((name) => lr * rateOf(name) * of(name));
      return float32(Float32Array.from(values), [values.length]);
    };
    return {
      gradient_scale: scalar(1 / this.state.lossScale),
      max_norm: scalar(clip > 0 ? clip : 3e38),
      unbias: scalar(1 / Math.sqrt(1 - beta2 ** step)),
      rates: perTensor(() => 1 / (1 - beta1 ** step)),
      decays: perTensor((name) => weightDecay * decayOf(name)),
    };
  }

  private async reduceScale(gradients: LocatedTensors): Promise<false> {
    if (this.state.lossScale <= 1) {
      const copies = await this.copy((name) => gradients[gradientName(name)]!);
      const name = this.names.toSorted().find((n) => !copies.get(n)!.every(Number.isFinite));
      throw new NonFiniteError(`a gradient is not finite, that of ${name ?? 'all tensors together'}`);
    }
    this.state.lossScale /= 2;
    return false;
  }

  private async copy(of: (name: string) => Located): Promise<Map<string, Float32Array>> {
    const session = await this.sessions.copy();
    const results = await session.run(Object.fromEntries(this.names.map((name) => [name, of(name)])));
    return new Map(this.names.map((name) => [name, floats(onHost(results[copyName(name)]))]));
  }
}

function flushTiny(values: Float32Array): void {
  for (let i = 0; i < values.length; i++) if (Math.abs(values[i]!) < TINY) values[i] = 0;
}
