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

/** Milliseconds and nodes a run of each operator, the costliest first. Fused nodes go by ONNX Runtime's names. */
export async function profileByOperator(
  title: string,
  graph: Graph,
  feedsOf: (graph: Graph) => Feeds,
): Promise<Section> {
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-profile-'));
  const session = await openGraph(graph, { profilePrefix: join(folder, 'profile') });
  const feeds = feedsOf(graph);
  for (let i = 0; i < RUNS; i++) await session.run(feeds);
  await session.release();
  const [file] = readdirSync(folder);
  const events = JSON.parse(readFileSync(join(folder, file!), 'utf8')) as ProfileEvent[];
  rmSync(folder, { recursive: true });
  const sums = new Map<string, { ms: number; nodes: number }>();
  for (const { cat, name, dur, args } of events) {
    if (cat !== 'Node' || !name.endsWith('_kernel_time')) continue;
    const { ms, nodes } = sums.get(args.op_name) ?? { ms: 0, nodes: 0 };
    sums.set(args.op_name, { ms: ms + dur / 1000 / RUNS, nodes: nodes + 1 / RUNS });
  }
  const total = [...sums.values()].reduce((sum, { ms }) => sum + ms, 0);
  const rows = [...sums]
    .sort(([, a], [, b]) => b.ms - a.ms)
    .map(([operator, { ms, nodes }]) => ({ operator, nodes, ms, percent: (100 * ms) / total }));
  return { title: `${title}: profile`, rows };
}
