/** @file Step time against the batch, the questions' length and the rank. */
import { join } from 'node:path';
import { median } from '../measure.js';
import type { Row } from '../table.js';
import { fitLine, type Line } from './line-fit.js';
import {
  type BuiltRun,
  buildRun,
  openOurs,
  openPeer,
  peerModel,
  type Setting,
  type Settings,
} from './programs.js';
import { type Measurement, type Result, resultOf } from './result.js';
import type { ScalingRow } from './rows.js';
import type { ChosenSetting, SettingChooser } from './setting.js';
import type { Worker } from './worker.js';

/** What the other two sizes are. */
const FIXED = { batch: 4, tokens: 16, rank: 8 };
const TOLERANCE = 1e-5;
/** torch.compile is left out: it compiles again for each size. */
const SETTINGS: readonly Setting[] = ['sdpa', 'eager', 'channels-last'];

interface Point extends Measurement {
  readonly size: number;
  readonly lossDifference: number;
}

export interface Series {
  readonly row: ScalingRow;
  readonly setting: string;
  readonly points: readonly Point[];
  readonly lines: Readonly<Record<'ours' | 'peer', Line>>;
}

interface Workers {
  readonly ours: Worker;
  readonly peer: Worker;
}

const timed = async (worker: Worker): Promise<number> =>
  ((await worker.ask({ do: 'run' })) as { ms: number }).ms / 1000;

/** The runs and batches of a series' points. */
class Points {
  private built: BuiltRun | undefined;

  constructor(
    private readonly row: ScalingRow,
    private readonly settings: Settings,
  ) {}

  /** What both programs are told of one point. */
  async at(size: number) {
    const { row, settings } = this;
    const { folder, threads } = settings;
    const sizes: Record<ScalingRow['series'], number> = { ...FIXED };
    sizes[row.series] = size;
    const { batch, tokens, rank } = sizes;
    const variant = `lora-r${rank}`;
    if (!this.built || row.series === 'rank') this.built = await buildRun({ ...row, variant }, settings);
    const files = {
      batch: join(folder, 'batch.safetensors'),
      adapters: join(folder, 'adapters.safetensors'),
    };
    const options = { batchSize: batch, cut: 'none', threads: threads ?? null };
    const ours = { run: this.built.run, options, synthetic: { batch, tokens } };
    const model = peerModel({ ...row, variant }, this.built);
    const peer = { do: 'open', ...model, ...files, threads: threads ?? null, lr: 1e-5, work: 'step' };
    return { prepare: { ...ours, batchFile: files.batch, adaptersFile: files.adapters }, ours, peer };
  }
}

async function measurePoint(
  size: number,
  points: Points,
  { ours, peer }: Workers,
  setting: Setting,
  rounds: number,
): Promise<Point> {
  const point = await points.at(size);
  const own = await ours.ask({ do: 'prepare', ...point.prepare });
  const other = await peer.ask({ ...point.peer, setting });
  await ours.ask({ do: 'open', ...point.ours, work: 'step' });
  const found = { ours: [] as number[], peer: [] as number[] };
  for (let round = -1; round < rounds; round++) {
    const times = { ours: await timed(ours), peer: await timed(peer) };
    if (round < 0) continue;
    found.ours.push(times.ours);
    found.peer.push(times.peer);
  }
  const loss = own.loss as number;
  return { size, ...found, lossDifference: Math.abs(loss - (other.loss as number)) / loss };
}

/** The peer's setting, chosen at the middle size. */
async function choose(row: ScalingRow, points: Points, ours: Worker, chooser: SettingChooser) {
  const middle = row.sizes[Math.floor(row.sizes.length / 2)]!;
  const point = await points.at(middle);
  await ours.ask({ do: 'prepare', ...point.prepare });
  return chooser.choose('scaling', point.peer, SETTINGS);
}

/** Measures all points of a series; the processes stay open from one to the next. */
export async function measureScaling(
  row: ScalingRow,
  settings: Settings,
  chooser: SettingChooser,
): Promise<{ series: Series; results: Result[] }> {
  const points = new Points(row, settings);
  const ours = openOurs('step');
  let peer: Worker | undefined;
  const found: Point[] = [];
  let chosen: ChosenSetting;
  try {
    chosen = await choose(row, points, ours, chooser);
    peer = openPeer(settings);
    for (const size of row.sizes)
      found.push(await measurePoint(size, points, { ours, peer }, chosen.setting, settings.repeats));
  } finally {
    await ours.close();
    await peer?.close();
  }
  const sizes = found.map(({ size }) => size);
  const line = (program: 'ours' | 'peer') =>
    fitLine(
      sizes,
      found.map((p) => median(p[program])),
    );
  const { setting, tried } = chosen;
  const results = found.map(({ size, lossDifference, ...times }) => {
    const facts = { row: `${row.name} ${size}`, what: row.what, setting, tried };
    return resultOf({ ...facts, lossDifference, tolerance: TOLERANCE }, times);
  });
  return {
    series: { row, setting, points: found, lines: { ours: line('ours'), peer: line('peer') } },
    results,
  };
}

const milliseconds = (seconds: number): string => (1000 * seconds).toPrecision(3);

/** How close to a straight line the times lie. */
export const lineRows = (all: readonly Series[]): Row[] =>
  all.flatMap(({ row, points, lines }) =>
    (['ours', 'peer'] as const).map((program) => {
      const [first, last] = [points[0]!, points.at(-1)!];
      const { intercept, slope, r2 } = lines[program];
      return {
        series: row.series,
        program,
        'ms at 0': milliseconds(intercept),
        'ms a unit': milliseconds(slope),
        'R^2 of the line': r2.toFixed(4),
        'largest / smallest size': (last.size / first.size).toFixed(1),
        'largest / smallest time': (median(last[program]) / median(first[program])).toFixed(2),
      };
    }),
  );
