/** @file Times things side by side, so that a slower minute of the machine slows them all. */

export type Measured = () => Promise<unknown>;

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};

export interface BenchOptions {
  readonly repeats: number;
  /** threads inside an operator; 1 is steadier on a machine that others use */
  readonly threads: number;
}

export interface Timing {
  readonly medianMs: number;
  readonly minMs: number;
}

/**
 * Median and least time of each thing, measured in turn, round by round. Each measurement follows a run that
 * is not counted: the threads of the session before may still spin, and its data fill the caches.
 */
export async function alternate<K extends string>(
  things: Readonly<Record<K, Measured>>,
  repeats: number,
): Promise<Record<K, Timing>> {
  const entries = Object.entries<Measured>(things);
  const times = new Map<string, number[]>(entries.map(([name]) => [name, []]));
  for (let round = 0; round < repeats; round++) {
    for (const [name, run] of entries) {
      await run();
      const start = performance.now();
      await run();
      times.get(name)!.push(performance.now() - start);
    }
  }
  const timing = (ms: readonly number[]): Timing => ({ medianMs: median(ms), minMs: Math.min(...ms) });
  return Object.fromEntries([...times].map(([name, ms]) => [name, timing(ms)])) as Record<K, Timing>;
}
