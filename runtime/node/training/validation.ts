/** @file When a run is validated, what counts as the best, and when it is not worth going on. */
import { UserError } from '../../../graph-builder/errors.js';
import type { CheckpointState } from '../../../training-artifacts/checkpoint/checkpoint.js';
import type { Measure } from './events.js';
import type { TrainOptions } from './options.js';
import type { Scores } from './task.js';

/** @throws {UserError} naming the flag that asks for what this run's validation cannot give. */
export function checkValidation(measured: readonly Measure[], options: TrainOptions): void {
  const { evalEvery, evalEverySteps, earlyStopping, bestBy } = options;
  if (measured.length === 0) {
    const flag =
      earlyStopping > 0 ? '--early-stopping' : evalEverySteps > 0 ? '--eval-every-steps' : undefined;
    if (flag) throw new UserError('this run has nothing to validate on', flag, 'leave it out');
  }
  if (earlyStopping > 0 && evalEvery === 0 && evalEverySteps === 0)
    throw new UserError(
      'nothing is evaluated',
      '--early-stopping',
      'give --eval-every 1 or --eval-every-steps, too',
    );
  if (bestBy === 'loss' && !measured.includes(bestBy))
    throw new UserError(
      'the validation of this run measures no loss',
      '--best-by',
      measured.length > 0 ? `choose from ${measured.join(', ')}` : 'leave it out',
    );
}

/** Whether an evaluation belongs after so many steps, the last one and the start included. */
export function isEvaluationDue(
  step: number,
  { evalEvery, evalEverySteps }: TrainOptions,
  stepsPerEpoch: number,
  total: number,
): boolean {
  if (evalEvery === 0 && evalEverySteps === 0) return false;
  if (step === 0 || step === total) return true;
  if (evalEverySteps > 0 && step % evalEverySteps === 0) return true;
  return evalEvery > 0 && step % (evalEvery * stepsPerEpoch) === 0;
}

export type Judgement = Pick<CheckpointState, 'best' | 'sinceBest' | 'evaluated'>;

/**
 * What the state says after an evaluation. Equal is not better. The scores of step 0 are the base's: they are in the
 * log only, so that the best checkpoint is always a trained one.
 */
export function judge(state: CheckpointState, scores: Scores | undefined, by: Measure): Judgement {
  const { batches, best, sinceBest } = state;
  const evaluated = batches;
  if (!scores || batches === 0) return { best, sinceBest, evaluated };
  const score = scores[by]!;
  const better = !best || (by === 'loss' ? score < best.score : score > best.score);
  return better
    ? { best: { step: batches, score }, sinceBest: 0, evaluated }
    : { best, sinceBest: sinceBest + 1, evaluated };
}

/** Whether the last evaluations were all no better. */
export const isStale = ({ sinceBest }: CheckpointState, { earlyStopping }: TrainOptions): boolean =>
  earlyStopping > 0 && sinceBest >= earlyStopping;
