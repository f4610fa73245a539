/** @file The curves: what the SVG holds, and the smoothing. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type CurveOptions,
  curvesSpec,
  type RunMetrics,
  smooth,
  writeCurves,
} from '../../../runtime/node/plots.js';

const run = (name?: string, steps = 40, extra: object = {}): RunMetrics => ({
  ...(name === undefined ? {} : { name }),
  steps: Array.from({ length: steps }, (_, i) => ({
    step: i + 1,
    epoch: 0,
    lr: 1e-4,
    loss: 2 + 5 / (i + 1),
  })),
  evaluations: [20, 40].map((step) => ({ step, epoch: step / 20, accuracy: step / 100, ...extra })),
});

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mile-ort-plots-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function draw(metrics: RunMetrics | RunMetrics[], options?: CurveOptions): Promise<string> {
  await writeCurves(metrics, join(folder, 'curves.svg'), options);
  return readFileSync(join(folder, 'curves.svg'), 'utf8');
}
const count = (text: string, pattern: RegExp): number => text.match(pattern)?.length ?? 0;
/** Paths of line marks (not of axes, legends or points). */
const lines = (svg: string): number =>
  svg
    .match(/<g [^>]*class="mark-line[^>]*>.*?<\/g>/gs)
    ?.reduce((n, group) => n + count(group, /<path /g), 0) ?? 0;

test('one run: two loss lines, one accuracy line, units, no legend', async () => {
  const svg = await draw(run());
  expect(lines(svg)).toBe(3);
  expect(svg).toContain('Loss (nats per answer token)');
  expect(svg).toContain('Accuracy (%)');
  expect(svg).toContain('Optimizer step');
  expect(svg).not.toContain('mark-group role-legend');
  expect(svg).not.toContain('floor of label smoothing');
  const { format, width, height } = await sharp(Buffer.from(svg)).metadata(); // parses it
  expect(format).toBe('svg');
  expect(Math.min(width!, height!)).toBeGreaterThan(400);
  expect(readdirSync(folder).sort()).toEqual(['curves.svg', 'curves.vl.json']);
  expect(JSON.parse(readFileSync(join(folder, 'curves.vl.json'), 'utf8'))).toEqual(curvesSpec(run()));
});

test('several runs, kinds of questions, floor and validation loss', async () => {
  const kinds = { open: 0.2, closed: 0.6, loss: 2.5 };
  const svg = await draw([run('lora-r8', 40, kinds), run('full', 40, kinds)], {
    lossFloor: 1.3577,
    title: 'VQA-RAD',
  });
  expect(lines(svg)).toBe(4 + 6);
  for (const text of [
    'lora-r8',
    'full',
    'VQA-RAD',
    'closed (yes/no)',
    'floor of label smoothing, 1.358',
    'diamonds: validation',
  ]) {
    expect(svg).toContain(text);
  }
  expect(svg).toContain('#0072B2');
  expect(svg).toContain('#D55E00');
  expect(count(svg, /mark-rule role-mark/g)).toBe(1);
  // each kind's dash is to be seen in the legend
  expect(count(svg, /role-legend-symbol[^>]*><path [^>]*stroke="#[^>]*stroke-dasharray=/g)).toBe(3);
});

test('the lines are at the losses', async () => {
  const flat = run();
  const at = (loss: number) =>
    draw({ ...flat, steps: flat.steps.map((s) => ({ ...s, loss })), evaluations: [] }, { lossFloor: 1 });
  expect(await at(2)).not.toBe(await at(3));
  const [panel] = (
    curvesSpec(flat) as unknown as { vconcat: { data: { values: { raw: number; step: number }[] } }[] }
  ).vconcat;
  expect(panel!.data.values.map(({ raw }) => raw)).toEqual(flat.steps.map(({ loss }) => loss));
});

test('a long run is thinned, a name is escaped, a loss that is not a number is a gap', async () => {
  const long = run('a<b&c', 20_000);
  const steps = long.steps.map((s, i) => (i === 15_000 ? { ...s, loss: Number.NaN } : s));
  const svg = await draw([{ ...long, steps }, run('other')]);
  expect(svg).toContain('a&lt;b&amp;c');
  expect(svg).not.toContain('NaN');
  expect(svg.length).toBeLessThan(500_000);
});

test('smoothing keeps a constant, a straight line inside, and passes over gaps', () => {
  expect(smooth([3, 3, 3, 3], 0.5)).toEqual([3, 3, 3, 3]);
  const straight = Array.from({ length: 101 }, (_, i) => i);
  expect(smooth(straight, 0.5)[50]).toBeCloseTo(50, 10);
  expect(smooth([2, Number.NaN, 2], 0.5)).toEqual([2, 2, 2]);
  // 1·d + 4 + 1·d over 1 + 2d, d = 1/2
  expect(smooth([1, 4, 1], 0.5)[1]).toBeCloseTo(2.5, 12);
});

test.each<[string, RunMetrics[], RegExp]>([
  ['no steps', [{ steps: [], evaluations: [] }], /no step was recorded/],
  ['equal names', [run('a'), run('a')], /two runs have one name: a, a/],
])('refuses %s', (_what, runs, message) => {
  expect(() => curvesSpec(runs)).toThrow(message);
});
