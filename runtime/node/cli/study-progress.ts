/** @file Shows how far a study is: a bar over all runs, with those at work; plain lines where there is no terminal. */
import { formatSeconds } from '../study/budget.js';
import type { StudyRun } from '../study/row.js';
import { runId } from '../study/row.js';
import type { RunTrouble } from '../study/state.js';
import type { StudyEvents } from '../study/study.js';
import { LinesAndBar } from './progress-bar.js';

/** Parts of the bar a run. */
const PARTS = 1000;

const etaOf = (left: number | undefined): string =>
  left === undefined ? 'after the first run' : formatSeconds(left);

export class StudyProgress extends LinesAndBar implements StudyEvents {
  private done = 0;
  private of = 0;
  /** how far the runs at work are, in [0, 1] */
  private readonly shares = new Map<StudyRun, number>();

  started(run: StudyRun, at: number, of: number, left: number | undefined): void {
    this.shares.set(run, 0);
    const eta = etaOf(left);
    if (!process.stderr.isTTY) {
      process.stderr.write(`${runId(run)}  run ${at + 1} of ${of}, time left: ${eta}\n`);
      return;
    }
    if (!this.bar) {
      // a terminal cuts off what is too long: the runs at work stand last
      const format = 'study {bar} {runs} runs  time left: {left}  {now}';
      this.open(format, of * PARTS, 0, { runs: '', left: eta, now: '' }, 20);
    }
    this.of = of;
    this.draw({ left: eta });
  }

  progress(run: StudyRun, share: number, left: number | undefined): void {
    this.shares.set(run, share);
    this.draw({ left: etaOf(left) });
  }

  ended(run: StudyRun, trouble: RunTrouble | undefined, seconds: number): void {
    this.shares.delete(run);
    this.done += 1;
    this.draw();
    const how = trouble ? `${trouble.status}: ${trouble.reason}` : `done in ${formatSeconds(seconds)}`;
    this.say(`${runId(run)}  ${how}`);
  }

  private draw(more: { readonly left?: string } = {}): void {
    const atWork = [...this.shares];
    const parts = atWork.reduce((sum, [, share]) => sum + share, this.done);
    const now = atWork.map(([run, share]) => `${runId(run)} ${Math.floor(100 * share)}%`).join(', ');
    this.bar?.update(Math.floor(parts * PARTS), { runs: `${this.done}/${this.of}`, now, ...more });
  }
}
