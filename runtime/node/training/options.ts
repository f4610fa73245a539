/** @file Everything that decides the numbers of a training run; kept in its checkpoints. */
import { z } from 'zod';
import { splitNames } from '../../../datasets/split.js';
import { scheduleNames } from '../../core/schedule.js';

export const trainOptionsSchema = z.strictObject({
  /** a set's name; of an imported model the .safetensors file of its arrays */
  data: z.string(),
  split: z.enum(splitNames),
  frame: z.boolean(),
  /** first n training questions only; null: all */
  limit: z.number().int().positive().nullable(),
  epochs: z.number().int().positive(),
  batchSize: z.number().int().positive(),
  /** questions on the same image that stay together in a batch: the image is encoded once for them */
  questionsPerImage: z.number().int().positive(),
  /** micro-batches an update */
  accumulate: z.number().int().positive(),
  lr: z.number().positive(),
  minLr: z.number().nonnegative(),
  warmupSteps: z.number().int().nonnegative(),
  schedule: z.enum(scheduleNames),
  /** learning rate of lora_B in multiples of the others' (LoRA+, arXiv:2402.12354) */
  loraPlusRatio: z.number().positive(),
  weightDecay: z.number().nonnegative(),
  /** largest 2-norm of all gradients; 0 = no clipping */
  clip: z.number().nonnegative(),
  seed: z.number().int(),
  augment: z.boolean(),
  /** epochs between evaluations on the validation questions; 0 = none */
  evalEvery: z.number().int().nonnegative(),
  /** threads inside an operator; null: ONNX Runtime's choice */
  threads: z.number().int().positive().nullable(),
});
export type TrainOptions = z.infer<typeof trainOptionsSchema>;

/** Source: the paper's appendix, but for the learning rate and epochs, which suit the small presets. */
export const trainDefaults: TrainOptions = {
  data: 'vqa-rad',
  split: 'official',
  frame: false,
  limit: null,
  epochs: 10,
  batchSize: 32,
  questionsPerImage: 1,
  accumulate: 1,
  lr: 5e-4,
  minLr: 0,
  warmupSteps: 0,
  schedule: 'cosine-epoch',
  loraPlusRatio: 1,
  weightDecay: 0.05,
  clip: 1,
  seed: 0,
  augment: false,
  evalEvery: 1,
  threads: null,
};
