/** @file Everything that decides the numbers of a training run; kept in its checkpoints. */
import { z } from 'zod';
import { isSplit } from '../../../datasets/choose-split.js';
import { readDefaults, readOptionsShape } from '../../../datasets/formats/format.js';
import type { Augmentation } from '../../../datasets/images/augment.js';
import { splitNames } from '../../../datasets/split.js';
import { cutLevels } from '../../../graph-builder/models/cuts.js';
import { scheduleNames } from '../../core/schedule.js';
import { measures } from './events.js';

export const cutChoices = ['auto', ...cutLevels, 'none'] as const;

export const trainOptionsSchema = z.strictObject({
  /** a set's name, or the path of a folder or table; of an imported model the .safetensors file of its arrays */
  data: z.string(),
  ...readOptionsShape,
  /** a name, or the path of a split file */
  split: z.string().refine(isSplit, {
    error: `expected one of "${splitNames.join('"|"')}", or a file that ort-data split wrote (.json)`,
  }),
  frame: z.boolean(),
  /** of the training and validation rows once they are loaded: a resumed run must find the same; null: not loaded */
  rowsSha256: z.string().nullable(),
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
  /** trained tensors without weight decay: globs of their names, comma-separated; '' = none */
  noDecay: z.string(),
  /** largest 2-norm of all gradients; 0 = no clipping */
  clip: z.number().nonnegative(),
  seed: z.number().int(),
  /** small shifts and changes of brightness */
  augment: z.boolean(),
  /** largest rotation, degrees; 0 = none. These came later: older checkpoints do not have them */
  augmentRotate: z.number().min(0).max(45).default(0),
  /** largest share of each side that is cut away */
  augmentCrop: z.number().min(0).max(0.5).default(0),
  /** half of the images mirrored */
  augmentFlip: z.boolean().default(false),
  /** threads that prepare the images of the next batch; 0: the trainer itself prepares them */
  imageThreads: z.number().int().nonnegative().max(64).default(1),
  /** largest size of the decoded images that are kept in memory, GB */
  imageMemoryGb: z.number().nonnegative().default(2),
  /** RUN or RUN:CHECKPOINT that the trained tensors start from; null: from the base */
  initFrom: z.string().min(1).nullable().default(null),
  /** of that checkpoint's file; found out at the start */
  initSha256: z.string().nullable().default(null),
  /** what is kept of frozen modules instead of being computed at every step; 'auto': what is faster and fits */
  cut: z.enum(cutChoices),
  /** largest size of the kept features on disk, GB */
  cacheGb: z.number().nonnegative(),
  /** epochs between evaluations on the validation questions; 0 = none */
  evalEvery: z.number().int().nonnegative(),
  /** steps between evaluations, besides those of epochs; 0 = none */
  evalEverySteps: z.number().int().nonnegative(),
  /** evaluations without a better one after which training ends; 0 = never */
  earlyStopping: z.number().int().nonnegative(),
  /** what makes an evaluation the best */
  bestBy: z.enum(measures),
  /** steps between checkpoints, besides those of epochs and evaluations; 0 = none */
  saveEvery: z.number().int().nonnegative(),
  /** newest checkpoints kept under their steps' names; 0 = none */
  keep: z.number().int().nonnegative(),
  /** cpu, webgpu, cuda, cuda:1, or auto: the fastest whose first losses are the CPU's */
  device: z.string().refine((d) => /^(auto|cpu|webgpu|cuda(:\d{1,2})?)$/.test(d), {
    error: 'is not one of auto, cpu, webgpu, cuda, cuda:1 (the second card)',
  }),
  /** packed: each product has a copy of its weights in the order it reads them; mapped: all read the file's pages; auto: see memory-form.ts */
  weightsInMemory: z.enum(['auto', 'packed', 'mapped']),
  /** threads inside an operator; null: ONNX Runtime's choice */
  threads: z.number().int().positive().nullable(),
});
export type TrainOptions = z.infer<typeof trainOptionsSchema>;

/** The random changes of images that the options ask for; undefined: none. */
export function augmentationOf({
  augment,
  augmentRotate: rotate,
  augmentCrop: crop,
  augmentFlip: flip,
}: TrainOptions): Augmentation | undefined {
  if (!augment && rotate === 0 && crop === 0 && !flip) return undefined;
  return { shift: augment ? 8 : 0, brightness: augment ? 0.15 : 0, rotate, crop, flip };
}

/** Source: the paper's appendix, but for the learning rate and epochs, which suit the small presets. */
export const trainDefaults: TrainOptions = {
  data: 'vqa-rad',
  ...readDefaults,
  split: 'official',
  frame: false,
  rowsSha256: null,
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
  noDecay: '',
  clip: 1,
  seed: 0,
  augment: false,
  augmentRotate: 0,
  augmentCrop: 0,
  augmentFlip: false,
  imageThreads: 1,
  imageMemoryGb: 2,
  initFrom: null,
  initSha256: null,
  cut: 'auto',
  cacheGb: 10,
  evalEvery: 1,
  evalEverySteps: 0,
  earlyStopping: 0,
  bestBy: 'accuracy',
  saveEvery: 0,
  keep: 0,
  device: 'cpu',
  weightsInMemory: 'auto',
  threads: null,
};
