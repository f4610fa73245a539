/** @file The training step: gradients from the graph, clipping, AdamW. Knows neither files nor platform. */
import { type AdamWOptions, adamWStep, type OptimizedTensor } from './adamw.js';
import { addTo, sumOfSquares } from './kernels/passes.js';
import { type Feeds, float32, floats, type Session, type Tensor } from './session.js';

/** Trainable tensors by their reference names. */
export interface TrainableTensor extends OptimizedTensor {
  readonly shape: readonly number[];
}

export interface TrainerState {
  /** updates made */
  step: number;
  /** a power of two; the backward pass starts from it */
  lossScale: number;
}

export interface StepResult {
  readonly loss: number;
  readonly tokenLosses: Float32Array;
  /** 2-norm of all gradients before clipping */
  readonly gradientNorm: number;
  /** false: a gradient overflowed, the loss scale was halved and nothing changed */
  readonly updated: boolean;
}

/** Gradients leave float32's denormal range; exact, since a power of two. */
export const INITIAL_LOSS_SCALE = 2 ** 32;

/** The loss or a gradient is not a number. */
export class NonFiniteError extends Error {}

export interface TrainerOptions extends AdamWOptions {
  /** largest 2-norm of all gradients; 0 = no clipping */
  readonly clip: number;
  /** a tensor's learning rate in multiples of the step's; default 1 */
  readonly rateOf?: (name: string) => number;
  /** a tensor's weight decay in multiples of `weightDecay`; default 1 */
  readonly decayOf?: (name: string) => number;
}

/** A micro-batch is a part of the batch whose labels are weighted by 1 / size of the whole batch. */
export class Trainer {
  private readonly names: readonly string[];
  private readonly weights: Record<string, Tensor>;

  constructor(
    private readonly session: Session,
    private readonly tensors: ReadonlyMap<string, TrainableTensor>,
    private readonly options: TrainerOptions,
    readonly state: TrainerState,
  ) {
    this.names = [...tensors.keys()];
    this.weights = Object.fromEntries([...tensors].map(([n, t]) => [n, float32(t.value, t.shape)]));
  }

  /**
   * One update from one or several micro-batches, whose gradients add up.
   *
   * @throws {NonFiniteError} when the loss is not finite, or the gradients at a loss scale of 1.
   */
  async step(microBatches: readonly Feeds[], lr: number): Promise<StepResult> {
    const scale = float32(Float32Array.of(this.state.lossScale), []);
    const gradients = new Map<string, Float32Array>();
    const tokenLosses: number[] = [];
    let loss = 0;
    for (const feeds of microBatches) {
      const results = await this.session.run({ ...feeds, ...this.weights, loss_scale: scale });
      loss += floats(results.loss)[0]!;
      tokenLosses.push(...floats(results.token_losses));
      for (const name of this.names) accumulate(gradients, name, floats(results[`${name}.grad`]));
    }
    if (!Number.isFinite(loss)) throw new NonFiniteError(`the loss is ${loss}`);
    const gradientNorm =
      Math.sqrt([...gradients.values()].reduce((s, g) => s + sumOfSquares(g), 0)) / this.state.lossScale;
    const result = { loss, tokenLosses: Float32Array.from(tokenLosses), gradientNorm };
    if (!Number.isFinite(gradientNorm)) return { ...result, updated: this.reduceScale(gradients) };
    this.update(gradients, gradientNorm, lr);
    return { ...result, updated: true };
  }

  private update(gradients: ReadonlyMap<string, Float32Array>, norm: number, lr: number): void {
    const { clip, weightDecay, rateOf = () => 1, decayOf = () => 1 } = this.options;
    const clipping = clip > 0 && norm > clip ? clip / norm : 1;
    const gradientScale = clipping / this.state.lossScale;
    this.state.step += 1;
    for (const name of this.names) {
      const update = { lr: lr * rateOf(name), step: this.state.step, gradientScale };
      const options = { ...this.options, weightDecay: weightDecay * decayOf(name) };
      adamWStep(this.tensors.get(name)!, gradients.get(name)!, update, options);
    }
  }

  private reduceScale(gradients: ReadonlyMap<string, Float32Array>): false {
    if (this.state.lossScale <= 1) {
      const name = this.names.toSorted().find((n) => !gradients.get(n)!.every(Number.isFinite));
      throw new NonFiniteError(`a gradient is not finite, that of ${name}`);
    }
    this.state.lossScale /= 2;
    return false;
  }
}

function accumulate(gradients: Map<string, Float32Array>, name: string, part: Float32Array): void {
  const sum = gradients.get(name);
  if (!sum) gradients.set(name, part);
  else addTo(sum, part);
}
