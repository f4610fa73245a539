/** @file Bars with the time left, where there is a terminal. On standard error: standard output stays for results. */
import cliProgress from 'cli-progress';

export interface ProgressBar {
  update(done: number, total: number): void;
  stop(): void;
}

/** A bar that is gone once all is done. `amount`: what stands behind it. */
export function progressBar(label: string, amount = '{value}/{total}'): ProgressBar {
  if (!process.stderr.isTTY) return { update: () => {}, stop: () => {} };
  const bar = new cliProgress.SingleBar({
    format: `${label} {bar} ${amount}  ETA {eta_formatted}`,
    stream: process.stderr,
    clearOnComplete: true,
  });
  let started = false;
  return {
    update: (done, total) => {
      if (!started) bar.start(total, 0);
      started = true;
      bar.update(done);
    },
    stop: () => bar.stop(),
  };
}

/** A bar below lines of text: what long work looks like. */
export class LinesAndBar {
  protected bar: cliProgress.SingleBar | undefined;

  /** Shows the bar; `values` are the names in its format. */
  protected open(format: string, total: number, done: number, values: object, barsize = 40): void {
    const style = { format, barsize, etaBuffer: 50, hideCursor: true, stream: process.stderr };
    this.bar = new cliProgress.SingleBar(style, cliProgress.Presets.shades_classic);
    this.bar.start(total, done, values);
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
