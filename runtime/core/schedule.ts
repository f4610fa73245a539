/** @file Learning-rate schedules. */

export interface ScheduleOptions {
  /** initial learning rate */
  readonly lr: number;
  readonly minLr: number;
  readonly epochs: number;
  /** steps of linear rise from 0 */
  readonly warmupSteps: number;
  readonly schedule: ScheduleName;
}

/** `cosine-epoch` is the paper's: constant within an epoch. */
export const scheduleNames = ['cosine-epoch', 'cosine', 'linear', 'constant'] as const;
export type ScheduleName = (typeof scheduleNames)[number];

/**
 * Learning rate of a step (both counted from 0).
 *
 *   warm-up: lr · (step + 1)/warmupSteps
 *   cosine: min + (lr − min)/2 · (1 + cos(π · epoch/epochs)), epoch a whole number for `cosine-epoch`
 *   linear: min + (lr − min) · (steps − step)/(steps − warmupSteps)
 *
 * The cosines count all steps, the line those after the warm-up, so that it starts from `lr`.
 * Source: the paper's appendix; its code changes the rate once an epoch. PyTorch's CosineAnnealingLR and
 * LinearLR; Hugging Face's get_linear_schedule_with_warmup.
 */
export function learningRate(step: number, stepsPerEpoch: number, options: ScheduleOptions): number {
  const { lr, minLr, epochs, warmupSteps, schedule } = options;
  if (step < warmupSteps) return (lr * (step + 1)) / warmupSteps;
  if (schedule === 'constant') return lr;
  if (schedule === 'linear') {
    const left = Math.max(0, epochs * stepsPerEpoch - step);
    return minLr + ((lr - minLr) * left) / Math.max(1, epochs * stepsPerEpoch - warmupSteps);
  }
  const epoch = schedule === 'cosine-epoch' ? Math.floor(step / stepsPerEpoch) : step / stepsPerEpoch;
  return minLr + ((lr - minLr) / 2) * (1 + Math.cos((Math.PI * Math.min(epoch, epochs)) / epochs));
}
