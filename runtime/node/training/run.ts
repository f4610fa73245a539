/** @file Trains a run with progress, signals, curves and the adapter at the end: what `ort-train` and the demo do. */
import { UserError } from '../../../graph-builder/errors.js';
import { checkpointPath, hasCheckpoint } from '../../../training-artifacts/checkpoint/checkpoint.js';
import { isImported, readAnyManifest } from '../../../training-artifacts/graphs/manifest.js';
import { TrainingProgress } from '../cli/training-progress.js';
import type { EvaluationEvent, TrainingEvent, TrainingJob } from './events.js';
import { drawCurves, exportAdapter } from './finish.js';
import { trainInChild } from './in-child.js';

export interface TrainingSummary {
  readonly run: string;
  readonly steps: number;
  /** false: it was stopped and can be resumed */
  readonly finished: boolean;
  readonly seconds: number;
  readonly lastLoss: number | null;
  readonly bestValidation: EvaluationEvent | null;
  readonly curves: string;
  readonly adapter: string;
  /** whether the run answers questions about images */
  readonly answers: boolean;
}

class Interrupted extends UserError {}

/** First Ctrl-C: a checkpoint after the step; second: the end at once. */
function handleInterrupts(
  training: { stop(): void; kill(): void },
  say: (text: string) => void,
  run: string,
  stepSeconds: () => number,
) {
  let asked = false;
  const onInterrupt = () => {
    if (asked) {
      training.kill();
      return;
    }
    asked = true;
    say(
      `saving after this step (about ${Math.max(1, Math.ceil(stepSeconds()))} s); Ctrl-C again ends at once`,
    );
    training.stop();
  };
  process.on('SIGINT', onInterrupt);
  process.on('SIGTERM', onInterrupt);
  return {
    release: () => {
      process.off('SIGINT', onInterrupt);
      process.off('SIGTERM', onInterrupt);
    },
    explain: (error: unknown): unknown => {
      if (!asked) return error;
      const last = hasCheckpoint(run)
        ? `the last checkpoint is ${checkpointPath(run, 'last')}`
        : 'there is no checkpoint yet';
      return new Interrupted(
        'the training was ended at once',
        run,
        `${last}; go on with ort-train --run ${run} --resume`,
      );
    },
  };
}

/** Trains to the end, to `maxSteps` or to an interrupt. */
export async function trainRun(job: TrainingJob, label: string): Promise<TrainingSummary> {
  const progress = new TrainingProgress(label);
  const started = performance.now();
  let steps = 0;
  let finished = false;
  let lastLoss: number | null = null;
  let bestValidation: EvaluationEvent | null = null;
  let stepSeconds = 1;
  let lastStep = performance.now();
  const training = trainInChild(job, (event: TrainingEvent) => {
    progress.on(event);
    if (event.type === 'step') {
      stepSeconds = (performance.now() - lastStep) / 1000;
      lastStep = performance.now();
      lastLoss = event.loss;
    }
    if (
      event.type === 'evaluation' &&
      event.epoch > 0 &&
      (!bestValidation || event.accuracy > bestValidation.accuracy)
    )
      bestValidation = event;
    if (event.type === 'end') {
      steps = event.step;
      finished = !event.stopped;
    }
  });
  const interrupts = handleInterrupts(
    training,
    (text) => progress.say(text),
    job.run,
    () => stepSeconds,
  );
  try {
    await training.finished;
  } catch (error) {
    throw interrupts.explain(error);
  } finally {
    progress.close();
    interrupts.release();
  }
  const seconds = (performance.now() - started) / 1000;
  const answers = !isImported(readAnyManifest(job.run));
  const [curves, adapter] = [await drawCurves(job.run), exportAdapter(job.run)];
  return { run: job.run, steps, finished, seconds, lastLoss, bestValidation, curves, adapter, answers };
}
