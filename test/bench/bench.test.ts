import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { renderSvg } from '../../runtime/node/plots.js';
import { fitLine } from './peers/line-fit.js';
import { processTree } from './peers/process-tree.js';
import { judge, resultOf } from './peers/result.js';
import { peerRows } from './peers/rows.js';
import { scalingSpec } from './peers/scaling-plot.js';
import { countProducts, totalFlops } from './products.js';
import { vitFeeds, vitGraphs } from './vit-step.js';

test('the least-squares line is that of the textbook', () => {
  // by hand: means 2.5 and 3.5, sums of products 4, 5 and 5
  const { slope, intercept, r2 } = fitLine([1, 2, 3, 4], [2, 3, 5, 4]);
  expect(slope).toBeCloseTo(0.8, 12);
  expect(intercept).toBeCloseTo(1.5, 12);
  expect(r2).toBeCloseTo(0.64, 12);
});

test('the process tree has the children of children', async () => {
  const child = spawn('sh', ['-c', 'sh -c "echo $$; sleep 30; true" & wait'], { detached: true });
  try {
    await once(child.stdout, 'data');
    expect(processTree(child.pid!).length).toBeGreaterThanOrEqual(2);
    expect(processTree(process.pid)).toContain(child.pid);
  } finally {
    process.kill(-child.pid!, 'SIGKILL');
  }
});

test('row names are all different', () => {
  expect(new Set(peerRows.map(({ name }) => name)).size).toBe(peerRows.length);
});

test('goals are judged by ratio, memory and seconds', () => {
  const facts = { row: 'r', what: 'w', setting: 'sdpa', goal: 1.3, memoryGoal: 0.7, most: 2 };
  const result = resultOf(facts, { ours: [1, 1, 1], peer: [1.5, 1.5, 1.5], oursBytes: 8, peerBytes: 10 });
  expect(result.interval).toEqual({ low: 1.5, high: 1.5 });
  expect(judge(result).map(({ reached }) => reached)).toEqual([true, false, true]);
});

test('scaling is drawn with both programs', async () => {
  const row = peerRows.find((r) => r.work === 'scaling')!;
  const points = [1, 2, 4].map((size) => ({ size, ours: [size], peer: [2 * size], lossDifference: 0 }));
  const lines = { ours: fitLine([1, 2, 4], [1, 2, 4]), peer: fitLine([1, 2, 4], [2, 4, 8]) };
  const svg = await renderSvg(scalingSpec([{ row, setting: 'sdpa', points, lines } as never]));
  for (const text of ['MILE-ORT', 'PyTorch + PEFT', 'Questions a batch']) expect(svg).toContain(text);
});

test("the ViT step's products are those of the formula, and its graph has the gradients", () => {
  const { forward, both, trained } = vitGraphs();
  const flops = (graph: typeof forward) => totalFlops(countProducts(graph, vitFeeds(1)));
  const [tokens, width, inner] = [901, 768, 3072];
  const linear = 2 * tokens * width * (4 * width + 2 * inner);
  const base = 12 * (linear + 4 * tokens * tokens * width) + 2 * (tokens - 1) * width * width;
  const share = flops(forward) / base; // LoRA of rank 8 adds about 1.3%
  expect(share).toBeGreaterThan(1.005);
  expect(share).toBeLessThan(1.03);
  expect(flops(trained)).toBeGreaterThan(flops(both)); // what recomputation repeats
  const sites = 12 * 4 + 1; // qkv, proj, fc1 and fc2 of each block, and the patches
  expect(Object.keys(trained.outputs).filter((name) => name.endsWith('.grad'))).toHaveLength(2 * sites);
});
