/** @file What a training run learns from. The loop knows no more of it than this. */
import type { TrainedTensor } from '../../../training-artifacts/checkpoint/checkpoint.js';
import type { GraphRole } from '../../../training-artifacts/graphs/manifest.js';
import type { Feeds } from '../../core/session.js';
import type { EvaluationEvent, Measure } from './events.js';
import type { TrainOptions } from './options.js';

/** The samples of one update. */
export interface TaskBatch {
  readonly microBatches: readonly Feeds[];
  /** names of the samples, for messages */
  readonly ids: readonly string[];
  /** milliseconds until the images were there */
  readonly waitMs?: number;
  /** what the loss is divided by to be one of a token or sample */
  readonly units: number;
}

export type Scores = Omit<EvaluationEvent, 'type' | 'step' | 'epoch'>;

export interface TrainingTask {
  /** what `evaluate` measures; nothing: there is no validation */
  readonly measures: readonly Measure[];
  /** options that `load` has decided: a resumed run must not decide again */
  readonly settled?: Partial<TrainOptions>;
  /** samples of an epoch */
  readonly size: number;
  /** what the user should know before it starts; complete after `load` */
  readonly notes: readonly string[];
  /** Reads what is kept in memory. */
  load(onItem: (what: string, done: number, total: number) => void): Promise<void>;
  /** The graph that its batches are for; known after `load`. */
  readonly role: GraphRole;
  /** Batch `index` of an epoch: a function of the seed, the epoch and the index. */
  batch(epoch: number, index: number): Promise<TaskBatch>;
  /** Validation scores; undefined where there is nothing to validate on. */
  evaluate(tensors: ReadonlyMap<string, TrainedTensor>): Promise<Scores | undefined>;
  /** Ends what works beside the trainer. */
  close?(): Promise<void>;
}
