/** @file What is measured beside the peers, and what is to be reached. */
import type { TrainOptions } from '../../../runtime/node/training/options.js';

interface Common {
  readonly name: string;
  readonly what: string;
  readonly preset: string;
  readonly variant: string;
  readonly placement: string;
  /** least time of the peer / ours */
  readonly goal?: number;
  readonly frozenCompute?: 'int8';
  /** how PyTorch runs whatever --setting says */
  readonly setting?: 'bf16';
}

/** Training steps, or answers to the same questions, in turn. */
export interface StepRow extends Common {
  readonly work: 'step' | 'answer';
  readonly options: Partial<TrainOptions>;
  /** largest peak memory of ours / the peer's */
  readonly memoryGoal?: number;
  /** both programs do not fit into 24 GB together: one after the other, twice */
  readonly apart?: boolean;
}

/** Whole trainings on VQA-RAD by command. */
export interface EpochRow extends Common {
  readonly work: 'epoch';
  readonly batchSize: number;
  readonly epochs: number;
}

/** From command to the first step done. */
export interface StartRow extends Common {
  readonly work: 'start';
  readonly batchSize: number;
  /** most seconds of ours */
  readonly most?: number;
}

/** build-graph alone, which the peer does not have. */
export interface BuildRow extends Common {
  readonly work: 'build';
}

export const seriesNames = ['batch', 'tokens', 'rank'] as const;

/** Step time against one size, the others fixed. */
export interface ScalingRow extends Common {
  readonly work: 'scaling';
  readonly series: (typeof seriesNames)[number];
  readonly sizes: readonly number[];
}

export type PeerRow = StepRow | EpochRow | StartRow | BuildRow | ScalingRow;

interface More {
  readonly options?: Partial<TrainOptions>;
  readonly goal?: number;
  readonly frozenCompute?: 'int8';
  readonly setting?: 'bf16';
  readonly apart?: boolean;
}

/** Questions that a pair on two images is chosen from: decoding the images of all takes longer. */
const CHOICE = 32;

const step = (
  preset: string,
  batch: number,
  variant: string,
  placement: string,
  more: More = {},
): StepRow => {
  const { options = {}, ...given } = more;
  const { cut, questionsPerImage = 1, weightsInMemory } = options;
  const words = [
    preset.replace('miss-', ''),
    variant,
    ...(variant === 'full' ? [] : [placement]),
    ...(cut ? [`cut ${cut}`] : []),
    ...(weightsInMemory ? [weightsInMemory] : []),
    ...(questionsPerImage > 1 ? [`${questionsPerImage} questions`] : []),
    ...(more.frozenCompute ? ['int8'] : []),
    ...(more.setting ? [more.setting] : []),
  ];
  return {
    name: words.join(' '),
    what: `training step, ${preset}, ${batch} questions on ${batch / questionsPerImage} images`,
    ...{ preset, variant, placement, work: 'step' },
    options: {
      ...{ cut: 'none', batchSize: batch, lr: 1e-5 },
      ...(batch <= 2 && { limit: CHOICE }),
      ...options,
    },
    memoryGoal: 0.7,
    ...given,
  };
};

const answer = (
  preset: string,
  batchSize: number,
  questionsPerImage: number,
  goal: number,
  frozenCompute?: 'int8',
): StepRow => ({
  name: `${preset.replace('miss-', '')} answer ${batchSize}${frozenCompute ? ' int8' : ''}`,
  what: `${batchSize} questions on ${batchSize / questionsPerImage} images, 3 beams, ${preset}`,
  ...{ preset, variant: 'lora-r8', placement: 'F/P/P', work: 'answer', goal },
  options: { cut: 'none', batchSize, questionsPerImage, ...(batchSize <= 2 && { limit: CHOICE }) },
  ...(frozenCompute && { frozenCompute }),
});

const placements = ['F/P/P', 'P/P/P', 'T/P/P'];
const lora = { variant: 'lora-r8', placement: 'F/P/P' } as const;
const grouped = { questionsPerImage: 8 };

const ofPreset = (preset: string, batch: number): StepRow[] => [
  ...placements.map((placement) => step(preset, batch, 'lora-r8', placement, { goal: 1 })),
  step(preset, batch, 'lora-r8', 'F/P/P', { options: { cut: 'vit' }, goal: 5 }),
  step(preset, batch, 'lora-r8', 'F/P/P', { options: { cut: 'kv' }, goal: 5 }),
  step(preset, batch, 'lora-r8', 'F/P/P', { options: { cut: 'kv', weightsInMemory: 'mapped' }, goal: 5 }),
  step(preset, 8, 'lora-r8', 'T/P/P', { options: grouped, goal: 4 }),
  step(preset, batch, 'ia3', 'F/P/P', { goal: 1 }),
  step(preset, batch, 'prefix-n10', 'F/P/P', { goal: 1 }),
  step(preset, batch, 'full', 'T/T/T', { goal: 1, apart: preset === 'miss-base' }),
  step(preset, batch, 'lora-r8', 'P/P/P', { frozenCompute: 'int8' }),
  // 16-bit autocast is to be beaten by frozen cut, grouped images and 8 bits
  step(preset, batch, 'lora-r8', 'P/P/P', { setting: 'bf16' }),
  step(preset, batch, 'lora-r8', 'P/P/P', { frozenCompute: 'int8', setting: 'bf16', goal: 1.5 }),
  step(preset, batch, 'lora-r8', 'F/P/P', { options: { cut: 'vit' }, setting: 'bf16', goal: 1 }),
  step(preset, 8, 'lora-r8', 'T/P/P', { options: grouped, setting: 'bf16', goal: 1 }),
  answer(preset, 1, 1, 1.4),
  answer(preset, 32, 4, 1.5),
  answer(preset, 1, 1, 2.5, 'int8'),
  answer(preset, 32, 4, 2.5, 'int8'),
];

/** The goals are for real sizes; small steps show that a row works. */
const withoutGoals = ({ goal: _, memoryGoal: __, ...row }: StepRow): StepRow => row;

const epoch = (preset: string, epochs: number): EpochRow => ({
  name: `${preset.replace('miss-', '')} epoch`,
  what: `${epochs} epochs of VQA-RAD, images from disk included, ${preset}, LoRA r8 F/P/P, batch 32`,
  ...{ preset, ...lora, work: 'epoch', batchSize: 32, epochs, goal: 5 },
});

const start = (preset: string, most?: number): StartRow => ({
  name: `${preset.replace('miss-', '')} start`,
  what: `from command to the first step done, ${preset}, LoRA r8 F/P/P, batch 2`,
  ...{ preset, ...lora, work: 'start', batchSize: 2, ...(most && { most }) },
});

const scaling = (series: ScalingRow['series'], sizes: readonly number[]): ScalingRow => ({
  name: `scaling ${series}`,
  what: `step time against ${series} (${sizes.join(', ')}), miss-small, LoRA F/P/P`,
  ...{ preset: 'miss-small', ...lora, work: 'scaling', series, sizes },
});

export const peerRows: readonly PeerRow[] = [
  ...ofPreset('miss-base', 2),
  ...ofPreset('miss-small', 20),
  ...ofPreset('miss-tiny', 32).map(withoutGoals),
  epoch('miss-tiny', 3),
  epoch('miss-small', 2),
  start('miss-base', 20),
  start('miss-tiny'),
  {
    name: 'base build',
    what: 'build-graph for miss-base, LoRA r8 F/P/P: random weights and graphs, and graphs alone',
    ...{ preset: 'miss-base', ...lora, work: 'build' },
  },
  scaling('batch', [1, 2, 4, 8, 16]),
  scaling('tokens', [8, 16, 32, 64, 128]),
  scaling('rank', [4, 8, 16, 32, 64]),
];
