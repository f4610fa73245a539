/** @file Peak memory of another process. */
import { readFileSync } from 'node:fs';

const EVERY_MS = 50;

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
 * Watches a process until `stop`, which gives the largest proportional set size in bytes.
 *
 * A look at many gigabytes takes a while and holds the process up: looks are rare enough to cost it about 2%.
 */
export function watchMemory(pid: number): { stop(): number } {
  let peak = 0;
  let timer: NodeJS.Timeout;
  const look = () => {
    const started = performance.now();
    peak = Math.max(peak, proportionalSet(pid));
    timer = setTimeout(look, Math.max(EVERY_MS, 50 * (performance.now() - started)));
  };
  look();
  return {
    stop() {
      clearTimeout(timer);
      return peak;
    },
  };
}
