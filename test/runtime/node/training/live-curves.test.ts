/** @file curves.svg while a run trains: how often it is drawn, and that nothing about it ends the training. */
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import type { TrainingEvent } from '../../../../runtime/node/training/events.js';
import { LiveCurves } from '../../../../runtime/node/training/live-curves.js';
import { build, train } from './support.js';

let run = '';
let events: TrainingEvent[] = [];
beforeAll(async () => {
  run = build();
  events = await train(run, { maxSteps: 3 });
});
const svg = () => join(run, 'log', 'curves.svg');

test('drawn after a step, whole, and not again before its time', async () => {
  const curves = new LiveCurves(run, { steps: 0, evaluations: 0 });
  for (const event of events) curves.on(event);
  await curves.settled();
  expect(readFileSync(svg(), 'utf8')).toMatch(/^<svg .*<\/svg>$/s);
  const drawn = statSync(svg()).mtimeMs;
  const rare = new LiveCurves(run, { steps: 1000, evaluations: 1000 });
  for (const event of events) rare.on(event);
  await rare.settled();
  expect(statSync(svg()).mtimeMs).toBe(drawn);
});

test('an evaluation draws, unless it is the one before the first step', async () => {
  rmSync(svg(), { force: true });
  const curves = new LiveCurves(run, { steps: 1000, evaluations: 0 });
  const evaluation = { type: 'evaluation', epoch: 0, n: 1, accuracy: 0, yesNo: 0, notYesNo: 0 } as const;
  for (const [step, drawn] of [
    [0, false],
    [3, true],
  ] as const) {
    curves.on({ ...evaluation, step });
    await curves.settled();
    expect(existsSync(svg()), `step ${step}`).toBe(drawn);
  }
});

test('a folder that is gone is no error', async () => {
  const curves = new LiveCurves(join(run, 'none'), { steps: 0, evaluations: 0 });
  for (const event of events) curves.on(event);
  await curves.settled();
});
