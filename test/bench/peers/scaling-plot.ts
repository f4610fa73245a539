/** @file Step times against sizes as SVG: a panel a series. */
import type { TopLevelSpec } from 'vega-lite';
import { COLOURS, plotStyle, renderSvg } from '../../../runtime/node/plots.js';
import { writeAtomic } from '../../../training-artifacts/files.js';
import { median } from '../measure.js';
import type { Series } from './scaling.js';

const titles = { batch: 'Questions a batch', tokens: 'Word pieces a question', rank: 'LoRA rank' } as const;
const programs = { ours: 'MILE-ORT', peer: 'PyTorch + PEFT' } as const;
type Program = keyof typeof programs;

/** Points are medians, lines least squares. */
function panel({ row, points, lines }: Series) {
  const names = Object.keys(programs) as Program[];
  const measured = names.flatMap((p) =>
    points.map((point) => ({ program: programs[p], size: point.size, seconds: median(point[p]) })),
  );
  const ends = [0, points.at(-1)!.size];
  const fitted = names.flatMap((p) =>
    ends.map((size) => ({ program: programs[p], size, seconds: lines[p].intercept + lines[p].slope * size })),
  );
  const encoding = {
    x: { field: 'size', type: 'quantitative' as const, title: titles[row.series] },
    y: { field: 'seconds', type: 'quantitative' as const, title: 'Seconds a step', scale: { zero: true } },
    color: {
      field: 'program',
      type: 'nominal' as const,
      scale: { domain: Object.values(programs), range: COLOURS.slice(0, 2) },
      legend: { title: null, orient: 'top' as const, symbolOpacity: 1 },
    },
  };
  return {
    width: 240,
    height: 200,
    layer: [
      { data: { values: fitted }, mark: { type: 'line' as const, strokeWidth: 1.5 }, encoding },
      {
        data: { values: measured },
        mark: { type: 'point' as const, filled: true, size: 45, opacity: 1 },
        encoding,
      },
    ],
  };
}

export const scalingSpec = (series: readonly Series[]): TopLevelSpec => ({
  $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
  background: 'white',
  padding: 12,
  spacing: 28,
  hconcat: series.map(panel),
  resolve: { scale: { color: 'shared' } },
  config: plotStyle,
});

export async function writeScalingPlot(series: readonly Series[], path: string): Promise<void> {
  writeAtomic(path, await renderSvg(scalingSpec(series)));
}
