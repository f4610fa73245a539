/** @file curves.svg redrawn while a run trains. For the process that does not train: drawing takes a second of CPU. */
import type { TrainingEvent } from './events.js';
import { drawCurves } from './finish.js';

/** Least seconds between two drawings: after steps, and after evaluations, which change the picture more. */
export interface RedrawSeconds {
  readonly steps: number;
  readonly evaluations: number;
}

export class LiveCurves {
  private last = performance.now();
  private drawing: Promise<unknown> | undefined;

  constructor(
    private readonly run: string,
    private readonly seconds: RedrawSeconds = { steps: 30, evaluations: 5 },
  ) {}

  on(event: TrainingEvent): void {
    if (event.type !== 'step' && event.type !== 'evaluation') return;
    if (event.step === 0 || this.drawing) return; // nothing to draw before the first step
    const least = event.type === 'step' ? this.seconds.steps : this.seconds.evaluations;
    if (performance.now() - this.last < 1000 * least) return;
    this.drawing = drawCurves(this.run)
      .catch(() => {}) // a picture must not end a training; the last drawing reports what is wrong
      .finally(() => {
        this.last = performance.now();
        this.drawing = undefined;
      });
  }

  /** Resolves when nothing is being drawn. */
  async settled(): Promise<void> {
    await this.drawing;
  }
}
