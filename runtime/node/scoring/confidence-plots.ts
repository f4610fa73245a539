/** @file Reliability and risk-coverage as SVG. */
import type { TopLevelSpec } from 'vega-lite';
import type { Confidence, Measures } from '../../../datasets/scoring/measure.js';
import { AXIS, COLOURS, plotStyle, renderSvg } from '../plots.js';

type Confidences = NonNullable<Measures['confidence']>;

const SIDE = 300;
const titles = { probability: 'as it comes', calibrated: 'after temperature scaling' } as const;

const entries = (confidence: Confidences) =>
  Object.entries(confidence) as ['probability' | 'calibrated', Confidence][];

const common = {
  $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
  background: 'white',
  padding: 10,
  config: plotStyle,
} as const;

const percentAxis = (field: string, title: string) => ({
  field,
  type: 'quantitative' as const,
  title,
  scale: { domain: [0, 100] },
});

const colour = (names: readonly string[]) => ({
  field: 'kind',
  type: 'nominal' as const,
  scale: { domain: [...names], range: names.map((_, i) => COLOURS[i]!) },
  legend: { title: null, orient: 'bottom' as const, columns: 1, labelLimit: SIDE },
});

/** Accuracy of each bin against its mean confidence; the area of a point is the number of its answers. */
export function reliabilitySpec(confidence: Confidences): TopLevelSpec {
  const values = entries(confidence).flatMap(([name, { calibration }]) =>
    calibration.bins
      .filter(({ n }) => n > 0)
      .map((b) => ({
        kind: titles[name],
        n: b.n,
        confidence: 100 * b.confidence,
        accuracy: 100 * b.accuracy,
      })),
  );
  const names = entries(confidence).map(([name]) => titles[name]);
  const diagonal = {
    data: { values: [0, 100].map((v) => ({ v })) },
    mark: { type: 'line' as const, strokeDash: [5, 4], color: AXIS },
    encoding: { x: percentAxis('v', 'Mean confidence (%)'), y: percentAxis('v', 'Right answers (%)') },
  };
  const encoding = {
    x: percentAxis('confidence', 'Mean confidence (%)'),
    y: percentAxis('accuracy', 'Right answers (%)'),
    color: colour(names),
  };
  return {
    ...common,
    title: {
      text: 'Reliability',
      subtitle: ['dashed: confidence means what it says', 'area of a point: answers in the bin'],
    },
    width: SIDE,
    height: SIDE,
    data: { values },
    layer: [
      diagonal,
      { mark: { type: 'line', opacity: 0.5, strokeWidth: 1.5 }, encoding },
      {
        mark: { type: 'point', filled: true, opacity: 0.85 },
        encoding: {
          ...encoding,
          size: {
            field: 'n',
            type: 'quantitative',
            scale: { type: 'linear', range: [20, 500], domainMin: 0 },
            legend: null,
          },
        },
      },
    ],
  };
}

/** Share of wrong answers among the most confident ones, for every share of them. */
export function riskCoverageSpec(confidence: Confidences, abstainBelow?: number | null): TopLevelSpec {
  const values = entries(confidence).flatMap(([name, { selective }]) =>
    selective.points.map(({ coverage, risk }) => ({
      kind: titles[name],
      coverage: 100 * coverage,
      risk: 100 * risk,
    })),
  );
  const names = entries(confidence).map(([name]) => titles[name]);
  const points = confidence.calibrated?.selective.points ?? [];
  const chosen =
    typeof abstainBelow === 'number'
      ? points.findLast(({ threshold }) => threshold >= abstainBelow)
      : undefined;
  const encoding = {
    x: percentAxis('coverage', 'Questions answered (%)'),
    y: percentAxis('risk', 'Wrong among these (%)'),
  };
  const subtitle = ['the most confident first', ...(chosen ? ['dot: threshold of validation'] : [' '])];
  return {
    ...common,
    title: { text: 'Risk and coverage', subtitle },
    width: SIDE,
    height: SIDE,
    layer: [
      {
        data: { values },
        mark: { type: 'line', strokeWidth: 2, interpolate: 'step-before' },
        encoding: { ...encoding, color: colour(names) },
      },
      ...(chosen
        ? [
            {
              data: { values: [{ coverage: 100 * chosen.coverage, risk: 100 * chosen.risk }] },
              mark: { type: 'point' as const, filled: true, size: 90, color: '#000000', opacity: 1 },
              encoding,
            },
          ]
        : []),
    ],
  };
}

export const confidencePlots = async (
  confidence: Confidences,
  abstainBelow?: number | null,
): Promise<{ reliability: string; riskCoverage: string }> => ({
  reliability: await renderSvg(reliabilitySpec(confidence)),
  riskCoverage: await renderSvg(riskCoverageSpec(confidence, abstainBelow)),
});
