/** @file What a training run tells while it works. */
import type { TrainOptions } from './options.js';

export type TrainingEvent =
  | { readonly type: 'loading'; readonly what: string; readonly done: number; readonly total: number }
  | {
      readonly type: 'start';
      readonly step: number;
      readonly steps: number;
      readonly stepsPerEpoch: number;
      readonly samples: number;
      readonly notes: readonly string[];
    }
  | StepEvent
  | EvaluationEvent
  | { readonly type: 'saved'; readonly step: number; readonly path: string }
  | { readonly type: 'end'; readonly step: number; readonly stopped: boolean };

export interface StepEvent {
  readonly type: 'step';
  readonly step: number;
  readonly epoch: number;
  /** of answers: summed over answer tokens, averaged over the batch, as the paper's curves */
  readonly loss: number;
  /** nats an answer token; of an imported model: the loss */
  readonly tokenLoss: number;
  readonly lr: number;
  readonly gradientNorm: number;
  readonly samplesPerSecond: number;
  readonly lossScale: number;
}

export interface EvaluationEvent {
  readonly type: 'evaluation';
  readonly step: number;
  readonly epoch: number;
  readonly n: number;
  /** exact match, all validation questions */
  readonly accuracy: number;
  /** of those answered yes or no, and of the rest */
  readonly yesNo: number;
  readonly notYesNo: number;
}

export interface TrainingJob {
  readonly run: string;
  readonly options: TrainOptions;
  readonly resume: boolean;
  /** stops after this update, as if interrupted */
  readonly maxSteps?: number;
}
