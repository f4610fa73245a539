/** @file The figures of a study, as Vega-Lite specifications without colours of the page. */
import type { TopLevelSpec } from 'vega-lite';
import { COLOURS, plotStyle, smooth } from '../plots.js';
import type { Collected, RowResult } from './collect.js';
import { methodNames, methodOf } from './paper.js';
import { BASE } from './row.js';
import { agreement, scoresOf } from './scores.js';

/** Ink and ground: files are for white paper, the page has its own colours. */
export interface Theme {
  readonly ink: string;
  readonly grid: string;
  readonly background: string;
}
export const paperTheme: Theme = { ink: '#344054', grid: '#e6e8ec', background: 'white' };
/** `currentColor` follows the page, light or dark. */
export const pageTheme: Theme = {
  ink: 'currentColor',
  grid: 'rgba(128,128,128,0.25)',
  background: 'transparent',
};

export interface Figure {
  readonly name: string;
  readonly title: string;
  /** what is to be seen, in words */
  readonly caption: string;
  spec(theme: Theme): TopLevelSpec;
}

type Spec = Record<string, unknown>;

const WIDTH = 640;

function themed(spec: Spec, { ink, grid, background }: Theme): TopLevelSpec {
  const text = { labelColor: ink, titleColor: ink, labelFontSize: 11, titleFontSize: 12 };
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background,
    padding: 8,
    config: {
      font: plotStyle.font,
      axis: { ...text, gridColor: grid, domainColor: ink, tickColor: ink, titlePadding: 8, labelLimit: 260 },
      legend: { ...text, labelLimit: 240, symbolOpacity: 1 },
      view: { stroke: grid },
      text: { color: ink },
      rule: { color: ink },
    },
    ...spec,
  } as TopLevelSpec;
}

const methodLabel = ({ row }: RowResult): string =>
  row.id === BASE ? 'base' : (methodNames[methodOf(row.variant)] ?? row.variant);

const dots = (rows: readonly RowResult[], all: Collected) =>
  rows.map((result) => {
    const { mean, low, high } = scoresOf(result, all).all;
    const { row } = result;
    return {
      id: row.id,
      // a row and its twin on instruction data stand on one line
      row: row.label.replace(/, instruction data( only)?$/, ''),
      form: row.form,
      percent: 100 * mean,
      low: 100 * low,
      high: 100 * high,
      trainable: result.runs[0]!.parameters.trainable,
      method: methodLabel(result),
      placement: row.placement,
    };
  });

const percentAxis = (field = 'percent') => ({
  field,
  type: 'quantitative',
  title: 'Accuracy, all test questions (%)',
  scale: { zero: false, padding: 8 },
});

/** The base as a dashed line. */
const baseline = (values: readonly { readonly percent: number }[], channel: 'x' | 'y'): Spec => ({
  data: { values },
  mark: { type: 'rule', strokeDash: [5, 4], opacity: 0.7 },
  encoding: { [channel]: percentAxis() },
});

/** Figure 2: every row with its interval, by data format where there are two. */
function byForm(all: Collected): Figure {
  const values = dots(all.rows, all);
  const both = new Set(values.map(({ form }) => form)).size > 1;
  const order = [...new Set(values.toSorted((a, b) => b.percent - a.percent).map(({ row }) => row))];
  const base = values.find(({ id }) => id === BASE);
  const y = { field: 'row', type: 'nominal', sort: order, title: null };
  const color = {
    field: 'form',
    type: 'nominal',
    scale: { domain: ['original', 'instruction'], range: COLOURS.slice(0, 2) },
    legend: both ? { title: 'Data format', orient: 'top' } : null,
  };
  const yOffset = both ? { yOffset: { field: 'form' } } : {};
  const layer: Spec[] = [
    {
      mark: { type: 'rule', strokeWidth: 2 },
      encoding: { y, x: { ...percentAxis('low') }, x2: { field: 'high' }, color, ...yOffset },
    },
    {
      mark: { type: 'point', filled: true, size: 60, opacity: 1 },
      encoding: { y, x: percentAxis(), color, ...yOffset },
    },
  ];
  if (base) layer.push(baseline([base], 'x'));
  return {
    name: 'accuracy-by-format',
    title: both ? 'Accuracy by data format (the paper’s Figure 2)' : 'Accuracy of every row',
    caption: `Mean over seeds with its 95% interval, best row first${base ? '; dashed: the base, not tuned' : ''}.`,
    spec: (theme) =>
      themed(
        { data: { values }, width: WIDTH - 120, height: { step: both ? 24 : 19, for: 'position' }, layer },
        theme,
      ),
  };
}

/** Rows that no row with as few parameters beats. */
export function paretoFront<T extends { trainable: number; percent: number }>(points: readonly T[]): T[] {
  const sorted = points.toSorted((a, b) => a.trainable - b.trainable || b.percent - a.percent);
  let best = Number.NEGATIVE_INFINITY;
  return sorted.filter(({ percent }) => {
    if (percent <= best) return false;
    best = percent;
    return true;
  });
}

/** A log axis of parameters. */
const trainableAxis = {
  field: 'trainable',
  type: 'quantitative',
  title: 'Trainable parameters (log scale)',
  scale: { type: 'log', nice: false, padding: 12 },
  axis: { format: '~s', tickCount: 6 },
};

const methodColour = (methods: readonly string[]) => ({
  field: 'method',
  type: 'nominal',
  scale: { domain: methods, range: methods.map((_, i) => COLOURS[i % (COLOURS.length - 1)]) },
  legend: { title: 'Method' },
});

function pareto(all: Collected): Figure | undefined {
  const values = dots(
    all.rows.filter(({ row }) => row.trained && row.form === 'original'),
    all,
  );
  if (values.length === 0) return undefined;
  const base = dots(
    all.rows.filter(({ row }) => row.id === BASE),
    all,
  );
  const x = trainableAxis;
  const color = methodColour([...new Set(values.map(({ method }) => method))]);
  const placed = { title: 'Placement', symbolFillColor: 'gray', symbolStrokeWidth: 0 };
  const front = paretoFront(values);
  const line = { type: 'line', interpolate: 'step-after', color: 'gray', opacity: 0.6, strokeWidth: 2 };
  const layer: Spec[] = [
    { data: { values: front }, mark: line, encoding: { x, y: percentAxis() } },
    {
      mark: { type: 'rule', opacity: 0.45 },
      encoding: { x, y: { ...percentAxis('low') }, y2: { field: 'high' }, color },
    },
    {
      mark: { type: 'point', filled: true, size: 90, opacity: 0.95 },
      encoding: {
        x,
        y: percentAxis(),
        color,
        shape: { field: 'placement', type: 'nominal', legend: placed },
      },
    },
  ];
  if (base.length > 0) layer.push(baseline(base, 'y'));
  return {
    name: 'accuracy-by-parameters',
    title: 'Accuracy against trainable parameters',
    caption: `Grey steps: the Pareto front, rows that none with fewer trainable parameters beats (${front.map(({ row }) => row).join('; ')}). Bars: 95% intervals${base.length > 0 ? '; dashed: the base, not tuned' : ''}. Where bars overlap, the front is not settled.`,
    spec: (theme) => themed({ data: { values }, width: WIDTH - 40, height: 340, layer }, theme),
  };
}

/** Runs whose curves tell most: full training and its stages; else the best placement of each method. */
function curveRuns(rows: readonly RowResult[]) {
  const stages = ['full', 'full-instruct', 'full-then-instruct'].flatMap((id) =>
    rows.filter(({ row }) => row.id === id),
  );
  const hasStages = stages.length > 1;
  const trained = rows.filter(({ row, runs }) => row.trained && runs[0]!.metrics.steps.length > 0);
  const ttp = trained.filter(({ row }) => row.placement === 'T/T/P' && row.form === 'original');
  const chosen = hasStages ? stages : [...ttp, ...stages].length > 0 ? [...ttp, ...stages] : trained;
  return { hasStages, chosen: chosen.slice(0, COLOURS.length) };
}

/** Epochs, and the loss smoothed over a hundredth of the run; a second stage goes on where the first ended. */
function lossPoints({ row, runs }: RowResult, rows: readonly RowResult[]) {
  const { metrics } = runs[0]!;
  const first = rows.find((r) => r.row.id === row.after)?.runs[0];
  const offset = first?.epochs ?? 0;
  const perEpoch = Math.max(1, metrics.steps.filter(({ epoch }) => epoch === 0).length);
  const loss = smooth(
    metrics.steps.map((s) => s.loss),
    Math.exp(-1 / Math.max(1, metrics.steps.length / 60)),
  );
  const stride = Math.max(1, Math.ceil(loss.length / 400));
  const points = metrics.steps.map(({ step }, i) => ({
    row: row.label,
    epoch: offset + step / perEpoch,
    loss: loss[i]!,
  }));
  return points.filter((_, i) => i % stride === 0 || i === points.length - 1);
}

function curves({ rows }: Collected): Figure | undefined {
  const { hasStages, chosen } = curveRuns(rows);
  if (chosen.length === 0) return undefined;
  const values = chosen.flatMap((result) => lossPoints(result, rows));
  const floor = chosen[0]!.runs[0]!.lossFloor;
  const names = chosen.map(({ row }) => row.label);
  const y = {
    field: 'loss',
    type: 'quantitative',
    title: 'Training loss (nats per answer token)',
    scale: { zero: false },
  };
  const layer = [
    {
      mark: { type: 'line', strokeWidth: 2 },
      encoding: {
        x: {
          field: 'epoch',
          type: 'quantitative',
          title: 'Epoch',
          axis: { tickMinStep: 1 },
          scale: { nice: false },
        },
        y,
        color: {
          field: 'row',
          type: 'nominal',
          scale: { domain: names, range: COLOURS.slice(0, names.length) },
          legend: { title: null, orient: 'top', columns: 3, symbolType: 'stroke' },
        },
      },
    },
    {
      data: { values: [{ loss: floor }] },
      mark: { type: 'rule', strokeDash: [5, 4], opacity: 0.7 },
      encoding: { y },
    },
  ];
  return {
    name: 'loss-curves',
    title: hasStages ? 'Loss curves, the second stage after the first (the paper’s Figure 3)' : 'Loss curves',
    caption: `First seed, smoothed; dashed: the least loss that label smoothing allows, ${floor.toFixed(3)}.`,
    spec: (theme) => themed({ data: { values }, width: WIDTH, height: 280, layer }, theme),
  };
}

function heatMap({ rows }: Collected): Figure | undefined {
  if (rows.length < 2) return undefined;
  const name = ({ row }: RowResult) => row.label.replace(/instruction data/, 'instr.');
  const names = rows.map(name);
  const values = rows.flatMap((a) =>
    rows.flatMap((b) => {
      const share = agreement(a, b);
      return share === undefined ? [] : [{ a: name(a), b: name(b), percent: 100 * share }];
    }),
  );
  if (values.length === 0) return undefined;
  const axis = (field: string, labelAngle: number) => ({
    field,
    type: 'nominal',
    sort: names,
    title: null,
    axis: { labelAngle, labelLimit: 260 },
  });
  const step = rows.length <= 14 ? 34 : 21;
  const encoding = { x: axis('b', -60), y: axis('a', 0) };
  const colour = {
    field: 'percent',
    type: 'quantitative',
    scale: { scheme: 'viridis' },
    legend: { title: ['Same', 'answer (%)'] },
  };
  const middle = (Math.min(...values.map((v) => v.percent)) + Math.max(...values.map((v) => v.percent))) / 2;
  const text = {
    mark: { type: 'text', fontSize: 10, aria: false },
    encoding: {
      text: { field: 'percent', format: '.0f' },
      color: { condition: { test: `datum.percent > ${middle}`, value: 'black' }, value: 'white' },
    },
  };
  return {
    name: 'agreement',
    title: 'How often two rows give the same answer',
    caption:
      'Share of test questions answered alike, right or wrong, mean over common seeds; on the diagonal: two seeds of the same row.',
    spec: (theme) =>
      themed(
        {
          data: { values },
          width: { step },
          height: { step },
          encoding,
          layer: [
            { mark: { type: 'rect', aria: false }, encoding: { color: colour } },
            ...(rows.length <= 14 ? [text] : []),
          ],
        },
        theme,
      ),
  };
}

export const figuresFor = (all: Collected): Figure[] =>
  [byForm(all), pareto(all), curves(all), heatMap(all)].filter((figure) => figure !== undefined);
