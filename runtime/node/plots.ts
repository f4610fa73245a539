/** @file The curves of training runs as SVG: a Vega-Lite specification, drawn without a browser. */
import { dirname, join } from 'node:path';
import type { TopLevelSpec } from 'vega-lite';
import { UserError } from '../../graph-builder/errors.js';
import { writeAtomic, writeJson } from '../../training-artifacts/files.js';

export interface StepMetrics {
  readonly step: number;
  readonly epoch: number;
  /** nats per answer token */
  readonly loss: number;
  readonly lr: number;
}

/** Accuracies are fractions in [0, 1]. */
export interface EvaluationMetrics {
  readonly step: number;
  readonly epoch: number;
  /** over all questions */
  readonly accuracy: number;
  readonly open?: number;
  readonly closed?: number;
  /** validation loss, nats per answer token */
  readonly loss?: number;
}

export interface RunMetrics {
  /** in the legend; needed when there are several runs */
  readonly name?: string;
  readonly steps: readonly StepMetrics[];
  readonly evaluations: readonly EvaluationMetrics[];
}

export interface CurveOptions {
  /** the least loss that label smoothing allows, nats per answer token: a dashed line */
  readonly lossFloor?: number;
  readonly title?: string;
}

/** Points drawn a run; longer runs are thinned to averages of this many stretches. */
const MAX_POINTS = 1500;
/** Share of a run over which the loss is smoothed (scale of the exponential average). */
const SMOOTHING = 0.01;

const WIDTH = 640;
export const AXIS = '#667085';
/** Okabe and Ito's colours: told apart with every kind of colour vision. */
export const COLOURS = ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000'];

/** Fonts and greys of all plots. */
export const plotStyle = {
  font: 'DejaVu Sans, Helvetica, Arial, sans-serif',
  title: {
    anchor: 'start' as const,
    fontSize: 13,
    offset: 8,
    subtitleFontSize: 11,
    subtitleColor: AXIS,
    subtitlePadding: 4,
  },
  axis: {
    labelFontSize: 11,
    titleFontSize: 12,
    titlePadding: 8,
    gridColor: '#e6e8ec',
    domainColor: AXIS,
  },
  legend: { labelFontSize: 11, titleFontSize: 12 },
};

interface Row {
  readonly run: string;
  readonly step: number;
}

/** Σ_{j ≤ i} d^(i−j) x_j and the weights' sum, for every i; what is not a number weighs nothing. */
function decayingSums(values: readonly number[], decay: number): { sum: number; weight: number }[] {
  let [sum, weight] = [0, 0];
  return values.map((x) => {
    const known = Number.isFinite(x);
    [sum, weight] = [decay * sum + (known ? x : 0), decay * weight + (known ? 1 : 0)];
    return { sum, weight };
  });
}

/**
 * Two-sided exponential average: without the lag of a running one, which would draw a falling loss too high.
 *
 *   s_i = Σ_j d^|i−j| x_j / Σ_j d^|i−j|
 */
export function smooth(values: readonly number[], decay: number): number[] {
  const before = decayingSums(values, decay);
  const after = decayingSums(values.toReversed(), decay).reverse();
  return values.map((x, i) => {
    const known = Number.isFinite(x); // x_i is in both sums
    const sum = before[i]!.sum + after[i]!.sum - (known ? x : 0);
    return sum / (before[i]!.weight + after[i]!.weight - (known ? 1 : 0));
  });
}

function lossRows(run: string, steps: readonly StepMetrics[]): (Row & { raw: number; smooth: number })[] {
  const stretch = Math.max(1, Math.ceil(steps.length / MAX_POINTS));
  const parts = Array.from({ length: Math.ceil(steps.length / stretch) }, (_, i) =>
    steps.slice(i * stretch, (i + 1) * stretch),
  );
  const raw = parts.map((part) => part.reduce((s, { loss }) => s + loss, 0) / part.length);
  const smoothed = smooth(raw, Math.exp(-1 / Math.max(1, SMOOTHING * parts.length)));
  return parts.map((part, i) => ({ run, step: part.at(-1)!.step, raw: raw[i]!, smooth: smoothed[i]! }));
}

const kinds = { accuracy: 'all questions', closed: 'closed (yes/no)', open: 'open' } as const;

const accuracyRows = (run: string, evaluations: readonly EvaluationMetrics[]) =>
  evaluations.flatMap((e) =>
    (Object.keys(kinds) as (keyof typeof kinds)[]).flatMap((key) =>
      e[key] === undefined ? [] : [{ run, step: e.step, kind: kinds[key], percent: 100 * e[key] }],
    ),
  );

const legendStyle = {
  orient: 'right' as const,
  symbolType: 'stroke',
  symbolSize: 500,
  symbolStrokeWidth: 2,
  symbolOpacity: 1,
  labelLimit: 220,
};

/** A colour for each run; no legend for a single one. */
const colour = (names: readonly string[]) => ({
  field: 'run',
  type: 'nominal' as const,
  scale: { domain: [...names], range: names.map((_, i) => COLOURS[i % COLOURS.length]!) },
  legend: names.length > 1 ? { title: 'Run', ...legendStyle } : null,
});

const stepAxis = (last: number, title: string | null) => ({
  field: 'step',
  type: 'quantitative' as const,
  title,
  scale: { domain: [0, Math.max(1, last)], nice: false },
  axis: { tickMinStep: 1, tickCount: 8 },
});

function lossPanel(runs: readonly RunMetrics[], names: readonly string[], last: number, floor?: number) {
  const x = stepAxis(last, null);
  const line = (field: string, title: string, opacity: number, strokeWidth: number) => ({
    mark: { type: 'line' as const, opacity, strokeWidth },
    encoding: {
      x,
      y: { field, type: 'quantitative' as const, title, scale: { zero: false } },
      color: colour(names),
    },
  });
  const validation = runs.flatMap(({ evaluations }, i) =>
    evaluations.flatMap(({ step, loss }) => (loss === undefined ? [] : [{ run: names[i]!, step, loss }])),
  );
  const title = 'Loss (nats per answer token)';
  const points = {
    data: { values: validation },
    mark: { type: 'point' as const, filled: true, size: 36, shape: 'diamond' },
    encoding: { x, y: { field: 'loss', type: 'quantitative' as const, title }, color: colour(names) },
  };
  const rule = {
    data: { values: [{ floor }] },
    mark: { type: 'rule' as const, strokeDash: [6, 4], color: AXIS },
    encoding: { y: { field: 'floor', type: 'quantitative' as const, title } },
  };
  // two lines: Vega guesses text widths without a canvas, and would push the legend away from a long one
  const marks = [
    'faint: each step',
    'bold: smoothed',
    ...(validation.length > 0 ? ['diamonds: validation'] : []),
    // in words here, as a label at the line would stand on the curves
    ...(floor === undefined ? [] : [`dashed: floor of label smoothing, ${floor.toFixed(3)}`]),
  ];
  return {
    title: {
      text: 'Training loss',
      subtitle: [marks.slice(0, 2), marks.slice(2)].filter((m) => m.length > 0).map((m) => m.join(' · ')),
      frame: 'group' as const,
    },
    data: { values: runs.flatMap((run, i) => lossRows(names[i]!, run.steps)) },
    width: WIDTH,
    height: 240,
    layer: [
      line('raw', title, 0.22, 1),
      line('smooth', title, 1, 2),
      ...(validation.length > 0 ? [points] : []),
      ...(floor === undefined ? [] : [rule]),
    ],
  };
}

function accuracyPanel(runs: readonly RunMetrics[], names: readonly string[], last: number) {
  const values = runs.flatMap((run, i) => accuracyRows(names[i]!, run.evaluations));
  const present = Object.values(kinds).filter((kind) => values.some((row) => row.kind === kind));
  const legend = present.length > 1 ? { title: 'Questions', symbolStrokeColor: AXIS, ...legendStyle } : null;
  const dashes: number[][] = [
    [1, 0],
    [6, 3],
    [2, 2],
  ]; // a colour is a run already
  const strokeDash = {
    field: 'kind',
    type: 'nominal' as const,
    scale: { domain: present, range: dashes.slice(0, present.length) },
    legend,
  };
  return {
    title: { text: 'Validation accuracy', frame: 'group' as const },
    data: { values },
    width: WIDTH,
    height: 200,
    encoding: {
      x: stepAxis(last, 'Optimizer step'),
      y: {
        field: 'percent',
        type: 'quantitative' as const,
        title: 'Accuracy (%)',
        scale: { domain: [0, 100] },
      },
      color: colour(names),
    },
    layer: [
      { mark: { type: 'line' as const, strokeWidth: 2 }, encoding: { strokeDash } },
      // a layer of its own: the points of a line mark make the legend's strokes transparent
      {
        mark: { type: 'point' as const, filled: true, size: 28, opacity: 1 },
        encoding: { detail: { field: 'kind' } },
      },
    ],
  };
}

/**
 * The specification of the curves: loss above, validation accuracy below, one colour a run.
 *
 * @throws {UserError} when there is no step to draw, or two runs have one name.
 */
export function curvesSpec(
  metrics: RunMetrics | readonly RunMetrics[],
  options: CurveOptions = {},
): TopLevelSpec {
  const runs = [metrics].flat() as RunMetrics[];
  const names = runs.map(({ name }, i) => name ?? `run ${i + 1}`);
  if (new Set(names).size < names.length) {
    throw new UserError(
      `two runs have one name: ${names.join(', ')}`,
      'curves',
      'name every run differently',
    );
  }
  if (runs.every(({ steps }) => steps.length === 0)) {
    throw new UserError('no step was recorded', 'curves', 'train at least one step');
  }
  const last = Math.max(
    ...runs.flatMap(({ steps, evaluations }) => [steps.at(-1)?.step ?? 0, evaluations.at(-1)?.step ?? 0]),
  );
  const hasAccuracy = runs.some(({ evaluations }) => evaluations.length > 0);
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    ...(options.title ? { title: { text: options.title, anchor: 'start', fontSize: 16 } } : {}),
    background: 'white',
    padding: 12,
    spacing: 28,
    vconcat: [
      lossPanel(runs, names, last, options.lossFloor),
      ...(hasAccuracy ? [accuracyPanel(runs, names, last)] : []),
    ],
    resolve: { scale: { color: 'shared' } },
    config: plotStyle,
  };
}

/** A specification as SVG text. */
export async function renderSvg(spec: TopLevelSpec): Promise<string> {
  const [vega, { compile }] = await Promise.all([import('vega'), import('vega-lite')]); // 0.3 s: only where needed
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: 'none', logLevel: vega.Error });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

/**
 * Draws the curves to an SVG file, and writes the specification beside it (`curves.svg` → `curves.vl.json`).
 *
 * @example await writeCurves(metrics, 'runs/a/curves.svg', { lossFloor: 1.3577 })
 * @throws {UserError} as {@link curvesSpec}. @throws {FileError} when the file cannot be written.
 */
export async function writeCurves(
  metrics: RunMetrics | readonly RunMetrics[],
  path: string,
  options: CurveOptions = {},
): Promise<void> {
  const spec = curvesSpec(metrics, options);
  writeAtomic(path, await renderSvg(spec));
  const name = path
    .slice(dirname(path).length)
    .replace(/^[/\\]/, '')
    .replace(/\.svg$/, '');
  writeJson(join(dirname(path), `${name}.vl.json`), spec);
}
