/** @file The loss curve and validation accuracy while training. */
import uPlot from 'uplot';
import { text } from './state.js';
import { tune } from './tune-state.js';

const HEIGHT = 260;

const colour = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Loss by step, accuracy at its evaluations. */
function series(): uPlot.AlignedData {
  const accuracy = new Map(tune.evaluations.map((e) => [e.step, e.accuracy]));
  const losses = new Map(tune.steps.map((s) => [s.step, s.tokenLoss]));
  const steps = [...new Set([...accuracy.keys(), ...losses.keys()])].sort((a, b) => a - b);
  return [
    steps,
    steps.map((step) => losses.get(step) ?? null),
    steps.map((step) => accuracy.get(step) ?? null),
  ];
}

function options(width: number): uPlot.Options {
  const t = text().tune;
  const axis = {
    stroke: colour('--quiet'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { stroke: colour('--line'), width: 1 },
  };
  return {
    width,
    height: HEIGHT,
    scales: { x: { time: false }, share: { range: [0, 1] } },
    series: [
      { label: t.stepAxis },
      { label: t.loss, stroke: colour('--accent'), width: 2, spanGaps: true },
      {
        label: t.accuracy,
        scale: 'share',
        stroke: colour('--second'),
        width: 2,
        dash: [6, 4],
        spanGaps: true,
        points: { show: true, size: 7 },
        value: (_, v) => (v === null ? '--' : `${Math.round(100 * v)}%`),
      },
    ],
    axes: [
      axis,
      { ...axis, size: 44 },
      {
        ...axis,
        side: 1,
        scale: 'share',
        size: 56,
        grid: { show: false },
        values: (_, v) => v.map((x) => `${Math.round(100 * x)}%`),
      },
    ],
  };
}

let chart: uPlot | undefined;
let place: Element | undefined;

/** Draws into an element of the page; called after each drawing of the page. */
export function drawChart(element: Element | undefined): void {
  if (!element) {
    chart?.destroy();
    chart = undefined;
    place = undefined;
    return;
  }
  if (chart && element === place) {
    chart.setData(series());
    return;
  }
  chart?.destroy();
  place = element;
  chart = new uPlot(options(element.clientWidth), series(), element as HTMLElement);
}

/** Colours and width are those of the moment when it was made. */
function redraw(): void {
  const element = place;
  drawChart(undefined);
  drawChart(element);
}
globalThis.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
globalThis.addEventListener('resize', redraw);
