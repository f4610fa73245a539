/** @file Shows a training run: a bar with loss, speed and time left; plain lines where there is no terminal. */
import type { EvaluationEvent, TrainingEvent } from '../training/events.js';
import { LinesAndBar } from './progress-bar.js';

/** Seconds between lines without a terminal. */
const LINE_EVERY = 15;

const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;

export class TrainingProgress extends LinesAndBar {
  private stepsPerEpoch = 1;
  private steps = 0;
  private lastLine = 0;
  private readonly terminal = process.stderr.isTTY === true;

  constructor(private readonly label: string) {
    super();
  }

  on(event: TrainingEvent): void {
    if (event.type === 'loading') this.loading(event);
    if (event.type === 'start') this.start(event);
    if (event.type === 'step') this.step(event);
    if (event.type === 'evaluation') this.evaluation(event);
    if (event.type === 'end') {
      this.close();
      if (event.early) this.say(`${this.label}  step ${event.step}: validation improved no more`);
    }
  }

  private evaluation({ epoch, n, accuracy, yesNo, notYesNo, loss }: EvaluationEvent): void {
    const shares = `${percent(accuracy)} of ${n} (yes/no ${percent(yesNo)}, others ${percent(notYesNo)})`;
    const lossText = loss === undefined ? '' : `, loss ${loss.toFixed(3)}`;
    this.say(`${this.label}  epoch ${Number(epoch.toFixed(2))}: validation ${shares}${lossText}`);
  }

  private loading({ done, total, what }: Extract<TrainingEvent, { type: 'loading' }>): void {
    if (this.terminal)
      process.stderr.write(done === total ? '\r\x1b[K' : `\r${this.label}  ${what} ${done}/${total}`);
  }

  private start({
    step,
    steps,
    stepsPerEpoch,
    samples,
    notes,
  }: Extract<TrainingEvent, { type: 'start' }>): void {
    this.stepsPerEpoch = stepsPerEpoch;
    this.steps = steps;
    for (const note of notes) this.say(`${this.label}  note: ${note}`);
    this.say(
      `${this.label}  ${samples} samples, ${steps} steps of ${Math.round(steps / stepsPerEpoch)} epochs${step > 0 ? `, going on at step ${step}` : ''}`,
    );
    if (!this.terminal) return;
    const format = `${this.label} {bar} step {value}/{total}  epoch {epoch}  loss {loss}  {speed} samples/s  ETA {eta_formatted}`;
    this.open(format, steps, step, { epoch: 0, loss: '-', speed: '-' });
  }

  private step({ step, epoch, loss, samplesPerSecond }: Extract<TrainingEvent, { type: 'step' }>): void {
    this.bar?.update(step, { epoch, loss: loss.toFixed(3), speed: samplesPerSecond.toFixed(0) });
    const now = performance.now() / 1000;
    if (this.terminal || now - this.lastLine < LINE_EVERY) return;
    this.lastLine = now;
    this.say(
      `${this.label}  step ${step}/${this.steps}  epoch ${Math.floor(step / this.stepsPerEpoch)}  loss ${loss.toFixed(3)}  ${samplesPerSecond.toFixed(0)} samples/s`,
    );
  }
}
