/** @file What is measured beside the peers. */
import type { TrainOptions } from '../../../runtime/node/training/options.js';

export interface PeerRow {
  readonly name: string;
  readonly what: string;
  readonly preset: string;
  readonly variant: string;
  readonly placement: string;
  readonly work: 'step' | 'answer';
  readonly options: Partial<TrainOptions>;
}

const step = (
  preset: string,
  batchSize: number,
  variant: string,
  placement: string,
  options: Partial<TrainOptions> = {},
): PeerRow => {
  const extra = Object.entries(options).map(([key, value]) => `${key} ${value}`);
  const size = preset.replace('miss-', '');
  return {
    name: [size, variant, ...(variant === 'full' ? [] : [placement]), ...extra].join(' '),
    what: `training step, ${preset}, batch ${batchSize}`,
    ...{ preset, variant, placement, work: 'step' },
    options: { cut: 'none', batchSize, lr: 1e-5, ...options },
  };
};

const answer = (preset: string, batchSize: number, questionsPerImage: number): PeerRow => ({
  name: `${preset.replace('miss-', '')} answer ${batchSize}`,
  what: `${batchSize} questions on ${batchSize / questionsPerImage} images, 3 beams, ${preset}`,
  ...{ preset, variant: 'lora-r8', placement: 'F/P/P', work: 'answer' },
  options: { cut: 'none', batchSize, questionsPerImage },
});

const placements = ['F/P/P', 'P/P/P', 'T/P/P'];

export const peerRows: readonly PeerRow[] = [
  ...(
    [
      ['miss-base', 2],
      ['miss-small', 20],
    ] as const
  ).flatMap(([preset, batch]) => [
    ...placements.map((placement) => step(preset, batch, 'lora-r8', placement)),
    step(preset, batch, 'lora-r8', 'F/P/P', { cut: 'vit' }),
    step(preset, batch, 'lora-r8', 'F/P/P', { cut: 'kv' }),
    step(preset, batch, 'ia3', 'F/P/P'),
    step(preset, batch, 'prefix-n10', 'F/P/P'),
    step(preset, batch, 'full', 'T/T/T'),
    answer(preset, 1, 1),
    answer(preset, 32, 4),
  ]),
];
