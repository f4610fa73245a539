/** @file A bar for work whose size is known beforehand. */
import cliProgress from 'cli-progress';

/** On standard error, if that is a terminal. `step` is added to what is done. */
export function workBar(label: string): { add: (step: number, total: number) => void; stop: () => void } {
  if (!process.stderr.isTTY) return { add: () => {}, stop: () => {} };
  const bar = new cliProgress.SingleBar({
    format: `${label} {bar} {percentage}%  ETA {eta_formatted}`,
    stream: process.stderr,
    clearOnComplete: true,
  });
  let started = false;
  return {
    add: (step, total) => {
      if (!started) bar.start(total, 0);
      started = true;
      bar.increment(step);
    },
    stop: () => bar.stop(),
  };
}
