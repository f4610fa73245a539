/** @file Shows how far a study is: a bar over all runs; plain lines where there is no terminal. */
import cliProgress from 'cli-progress';
import { formatSeconds } from '../study/budget.js';
import type { StudyRun } from '../study/row.js';
import { runId } from '../study/row.js';
import type { RunTrouble } from '../study/state.js';
import type { StudyEvents } from '../study/study.js';

/** Parts of the bar a run. */
const PARTS = 1000;

/** Writes to standard error, so that standard output stays for results. */
export class StudyProgress implements StudyEvents {
  private bar: cliProgress.SingleBar | undefined;
  private at = 0;

  started(run: StudyRun, at: number, of: number, left: number | undefined): void {
    this.at = at;
    const eta = left === undefined ? 'after the first run' : formatSeconds(left);
    if (!process.stderr.isTTY) {
      process.stderr.write(`${runId(run)}  run ${at + 1} of ${of}, time left: ${eta}\n`);
      return;
    }
    if (!this.bar) {
      const format = 'study {bar} {runs} runs  {run} {share}%  time left: {left}';
      const style = { format, barsize: 20, hideCursor: true, stream: process.stderr };
      this.bar = new cliProgress.SingleBar(style, cliProgress.Presets.shades_classic);
      this.bar.start(of * PARTS, 0, { runs: '', run: '', share: 0, left: eta });
    }
    this.bar.update(at * PARTS, { runs: `${at}/${of}`, run: runId(run), share: 0, left: eta });
  }

  progress(_run: StudyRun, share: number): void {
    this.bar?.update(Math.floor((this.at + share) * PARTS), { share: Math.floor(100 * share) });
  }

  ended(run: StudyRun, trouble: RunTrouble | undefined, seconds: number): void {
    const how = trouble ? `${trouble.status}: ${trouble.reason}` : `done in ${formatSeconds(seconds)}`;
    this.say(`${runId(run)}  ${how}`);
  }

  /** A line above the bar. */
  say(text: string): void {
    if (this.bar) process.stderr.write('\r\x1b[K');
    process.stderr.write(`${text}\n`);
    this.bar?.render();
  }

  close(): void {
    this.bar?.stop();
    this.bar = undefined;
  }
}
