/** @file The options of a training in the browser and what it reports. */
import type { ScheduleOptions } from '../../core/schedule.js';

export interface TuneOptions extends ScheduleOptions {
  readonly batchSize: number;
  readonly weightDecay: number;
  /** largest 2-norm of all gradients; 0 = no clipping */
  readonly clip: number;
  readonly seed: number;
}

/** The paper's settings but for epochs and batch size, which suit a browser. */
export const tuneDefaults: TuneOptions = {
  epochs: 3,
  batchSize: 16,
  lr: 5e-4,
  minLr: 0,
  warmupSteps: 0,
  schedule: 'cosine-epoch',
  weightDecay: 0.05,
  clip: 1,
  seed: 0,
};

export interface TuneStep {
  readonly type: 'step';
  readonly step: number;
  readonly total: number;
  readonly epoch: number;
  /** nats an answer token */
  readonly tokenLoss: number;
  readonly loss: number;
  readonly seconds: number;
}

export interface TuneEvaluation {
  readonly type: 'evaluation';
  readonly step: number;
  readonly n: number;
  readonly accuracy: number;
}
