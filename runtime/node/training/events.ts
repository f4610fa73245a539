/** @file What a training run tells while it works. */
import type { MemoryForm } from './memory-form.js';
import type { TrainOptions } from './options.js';

export type TrainingEvent =
  | { readonly type: 'loading'; readonly what: string; readonly done: number; readonly total: number }
  | {
      readonly type: 'start';
      readonly step: number;
      readonly steps: number;
      readonly stepsPerEpoch: number;
      readonly samples: number;
      readonly weightsInMemory: MemoryForm;
      readonly notes: readonly string[];
    }
  | StepEvent
  | EvaluationEvent
  | { readonly type: 'saved'; readonly step: number; readonly path: string }
  | {
      readonly type: 'end';
      readonly step: number;
      /** it was interrupted and can be resumed */
      readonly stopped: boolean;
      /** validation did not improve any more: it ended before its last epoch */
      readonly early: boolean;
    };

/** What checkpoints are compared by: exact match (the higher the better) or nats an answer token (the lower). */
export const measures = ['accuracy', 'loss'] as const;
export type Measure = (typeof measures)[number];

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
  /** of the step's time, what it waited for images, milliseconds */
  readonly waitMs?: number;
}

export interface EvaluationEvent {
  readonly type: 'evaluation';
  readonly step: number;
  /** epochs trained: between two epochs, e.g. 1.5 */
  readonly epoch: number;
  readonly n: number;
  /** exact match, all validation questions */
  readonly accuracy: number;
  /** of those answered yes or no, and of the rest */
  readonly yesNo: number;
  readonly notYesNo: number;
  /** validation loss, nats an answer token, where the task measures it */
  readonly loss?: number;
}

/** A line of metrics.jsonl. */
export type LogLine = (StepEvent | EvaluationEvent) & {
  /** when it was written, seconds since 1970 */
  readonly time: number;
  /** that the step or the evaluation took */
  readonly seconds: number;
};

export interface TrainingJob {
  readonly run: string;
  readonly options: TrainOptions;
  readonly resume: boolean;
  /** stops after this update */
  readonly maxSteps?: number;
  /** resumes from a checkpoint of Python's onnxruntime-training, with the options given */
  readonly ortCheckpoint?: string;
}
