/** @file Trains a run with progress, signals, curves, adapter and report: what `ort-train` and the demo do. */
import { UserError } from '../../../graph-builder/errors.js';
import { checkpointPath, hasCheckpoint } from '../../../training-artifacts/checkpoint/checkpoint.js';
import { isImported } from '../../../training-artifacts/graphs/manifest.js';
import { TrainingProgress } from '../cli/training-progress.js';
import { SELDOM, watchMemory } from '../memory.js';
import type { EvaluationEvent, TrainingEvent, TrainingJob } from './events.js';
import { drawCurves, exportAdapter } from './finish.js';
import { type RunningTraining, trainInChild } from './in-child.js';
import { LiveCurves } from './live-curves.js';
import { writeReport } from './report.js';
import { bestOf, runFacts } from './report-facts.js';
import type { Ending } from './report-sections.js';
import { readSummary, writeSummary } from './summary.js';

export type StopSignal = 'SIGINT' | 'SIGTERM';

export interface TrainingSummary extends Ending {
  readonly run: string;
  /** of the run, those before a resume included */
  readonly steps: number;
  /** false: it was stopped and can be resumed */
  readonly finished: boolean;
  /** the signal that stopped it */
  readonly interruptedBy: StopSignal | null;
  readonly seconds: number;
  /** largest memory of both processes, resumed parts included; null where it cannot be measured */
  readonly peakBytes: number | null;
  readonly lastLoss: number | null;
  readonly bestValidation: EvaluationEvent | null;
  readonly curves: string;
  readonly adapter: string;
  readonly report: string;
  /** whether the run answers questions about images */
  readonly answers: boolean;
}

class Interrupted extends UserError {}

/** First Ctrl-C: a checkpoint after the step; second: the end at once. */
class Interrupts {
  /** the first signal */
  asked: StopSignal | null = null;

  constructor(
    private readonly training: RunningTraining,
    private readonly say: (text: string) => void,
    private readonly run: string,
    private readonly stepSeconds: () => number,
  ) {
    process.on('SIGINT', this.on);
    process.on('SIGTERM', this.on);
  }

  private readonly on = (signal: NodeJS.Signals): void => {
    if (this.asked) {
      this.training.kill();
      return;
    }
    this.asked = signal as StopSignal;
    const seconds = Math.max(1, Math.ceil(this.stepSeconds()));
    this.say(`saving after this step (about ${seconds} s); Ctrl-C again ends at once`);
    this.training.stop();
  };

  release(): void {
    process.off('SIGINT', this.on);
    process.off('SIGTERM', this.on);
  }

  /** What an error means: after a signal, that the second one ended it. */
  explain(error: unknown): unknown {
    if (!this.asked) return error;
    const last = hasCheckpoint(this.run)
      ? `the last checkpoint is ${checkpointPath(this.run, 'last')}`
      : 'there is no checkpoint yet';
    return new Interrupted(
      'the training was ended at once',
      this.run,
      `${last}; go on with ort-train --run ${this.run} --resume`,
    );
  }
}

/** Seconds between the last two steps. */
class StepClock {
  seconds = 1;
  private last = performance.now();

  tick(): void {
    const now = performance.now();
    this.seconds = (now - this.last) / 1000;
    this.last = now;
  }
}

/** Trains to the end, to `maxSteps` or to an interrupt. */
export async function trainRun(job: TrainingJob, label: string): Promise<TrainingSummary> {
  const { run } = job;
  const progress = new TrainingProgress(label);
  const curves = new LiveCurves(run);
  const clock = new StepClock();
  const started = performance.now();
  let end: Ending = { finished: false, early: false };
  const earlier = (job.resume && readSummary(run)?.peakBytes) || 0;
  const training = trainInChild(job, (event: TrainingEvent) => {
    progress.on(event);
    curves.on(event);
    if (event.type === 'step') clock.tick();
    if (event.type === 'start') writeSummary(run, { ...end, peakBytes: earlier || null });
    if (event.type === 'end') end = { finished: !event.stopped, early: event.early };
  });
  const say = (text: string) => progress.say(text);
  const interrupts = new Interrupts(training, say, run, () => clock.seconds);
  const memory = watchMemory([process.pid, training.pid], SELDOM);
  let peak = 0;
  try {
    await training.finished;
  } catch (error) {
    throw interrupts.explain(error);
  } finally {
    peak = memory.stop();
    progress.close();
    interrupts.release();
    await curves.settled();
  }
  const seconds = (performance.now() - started) / 1000;
  const peakBytes = Math.max(peak, earlier) || null;
  const files = await finish(run, end);
  writeSummary(run, { ...end, peakBytes }); // last: whoever finds it finds all the rest
  return { ...files, run, ...end, interruptedBy: interrupts.asked, seconds, peakBytes };
}

/** Writes what a trained run has beside its checkpoints. */
async function finish(run: string, end: Ending) {
  const curves = await drawCurves(run);
  const [adapter, report] = [exportAdapter(run), await writeReport(run, end)];
  const facts = runFacts(run);
  return {
    steps: facts.state.batches,
    lastLoss: facts.steps.at(-1)?.loss ?? null,
    bestValidation: bestOf(facts) ?? null,
    curves,
    adapter,
    report,
    answers: !isImported(facts.manifest),
  };
}
