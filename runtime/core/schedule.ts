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
export const scheduleNames = ['cosine-epoch', 'cosine', 'constant'] as const;
export type ScheduleName = (typeof scheduleNames)[number];

/**
 * Learning rate of a step (both counted from 0).
 *
 *   cosine: min + (lr − min)/2 · (1 + cos(π · epoch/epochs)), epoch a whole number for `cosine-epoch`
 *
 * Source: the paper's appendix; its code changes the rate once an epoch.
 */
export function learningRate(step: number, stepsPerEpoch: number, options: ScheduleOptions): number {
  const { lr, minLr, epochs, warmupSteps, schedule } = options;
  if (step < warmupSteps) return (lr * (step + 1)) / warmupSteps;
  if (schedule === 'constant') return lr;
  const epoch = schedule === 'cosine-epoch' ? Math.floor(step / stepsPerEpoch) : step / stepsPerEpoch;
  return minLr + ((lr - minLr) / 2) * (1 + Math.cos((Math.PI * Math.min(epoch, epochs)) / epochs));
}
