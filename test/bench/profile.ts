/** @file ONNX Runtime's own profile of a graph, summed by operator. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Graph } from '../../graph-builder/ir/types.js';
import type { Feeds } from '../../runtime/core/session.js';
import { openGraph } from './sessions.js';
import type { Section } from './table.js';

interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  /** microseconds */
  readonly dur: number;
  readonly args: { readonly op_name: string };
}

const RUNS = 7;

/** Milliseconds and nodes a run of each operator in the one profile of a folder, the costliest first. */
function sumByOperator(folder: string, runs: number): Section['rows'] {
  const [file] = readdirSync(folder);
  const events = JSON.parse(readFileSync(join(folder, file!), 'utf8')) as ProfileEvent[];
  const sums = new Map<string, { ms: number; nodes: number }>();
  for (const { cat, name, dur, args } of events) {
    if (cat !== 'Node' || !name.endsWith('_kernel_time')) continue;
    const { ms, nodes } = sums.get(args.op_name) ?? { ms: 0, nodes: 0 };
    sums.set(args.op_name, { ms: ms + dur / 1000 / runs, nodes: nodes + 1 / runs });
  }
  const total = [...sums.values()].reduce((sum, { ms }) => sum + ms, 0);
  return [...sums]
    .sort(([, a], [, b]) => b.ms - a.ms)
    .map(([operator, { ms, nodes }]) => ({ operator, nodes, ms, percent: (100 * ms) / total }));
}

/** The three operators that cost the most, in words. */
export const costliest = ({ rows }: Section): string =>
  rows
    .slice(0, 3)
    .map(({ operator, percent }) => `${operator} ${(percent as number).toFixed(0)}%`)
    .join(', ');

/**
 * Profiles what `work` does with a session that writes its profile under the given prefix; it releases the session.
 * Fused nodes go by ONNX Runtime's names.
 *
 * @param runs of the session in `work`
 */
export async function profiled(
  title: string,
  runs: number,
  work: (prefix: string) => Promise<void>,
): Promise<Section> {
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-profile-'));
  try {
    await work(join(folder, 'profile'));
    const section = { title: `${title}: profile`, rows: sumByOperator(folder, runs) };
    return { ...section, title: `${section.title} (most: ${costliest(section)})` };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The profile of some runs of a graph with random weights. */
export const profileByOperator = (
  title: string,
  graph: Graph,
  feedsOf: (graph: Graph) => Feeds,
): Promise<Section> =>
  profiled(title, RUNS, async (profilePrefix) => {
    const session = await openGraph(graph, { profilePrefix });
    const feeds = feedsOf(graph);
    for (let i = 0; i < RUNS; i++) await session.run(feeds);
    await session.release();
  });
