/** @file Peak memory of processes. */
import { readFileSync } from 'node:fs';

/** Least pause between two looks, and pauses for the time that a look took. */
const OFTEN = { everyMs: 50, pauses: 50 };
/** For trainings of minutes: costs nothing that could be measured. */
export const SELDOM = { everyMs: 500, pauses: 300 };

/** Proportional set size, bytes: pages that processes share count by their share. 0 where /proc does not exist. */
function proportionalSet(pid: number): number {
  try {
    const kilobytes = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1];
    return Number(kilobytes ?? 0) * 1024;
  } catch {
    return 0; // ended
  }
}

/**
 * Watches a process, or several together, until `stop`, which gives the largest proportional set size in bytes.
 *
 * A look at many gigabytes takes a while and holds the process up: looks are rare enough to cost it about 2%.
 *
 * @param pids a function is asked at each look, for programs that start and end processes
 */
export function watchMemory(
  pids: number | readonly number[] | (() => readonly number[]),
  { everyMs, pauses } = OFTEN,
): { stop(): number } {
  let peak = 0;
  let timer: NodeJS.Timeout;
  const look = () => {
    const started = performance.now();
    const now = (typeof pids === 'function' ? pids() : [pids].flat()).reduce(
      (sum, pid) => sum + proportionalSet(pid),
      0,
    );
    peak = Math.max(peak, now);
    timer = setTimeout(look, Math.max(everyMs, pauses * (performance.now() - started)));
  };
  look();
  return {
    stop() {
      clearTimeout(timer);
      return peak;
    },
  };
}
