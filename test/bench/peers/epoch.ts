/** @file An epoch of VQA-RAD from the command line: `ort-train` against a plain PyTorch + PEFT loop. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { normalisations } from '../../../datasets/images/normalise.js';
import { loadData, tokenise } from '../../../runtime/node/data.js';
import type { StepEvent } from '../../../runtime/node/training/events.js';
import { readLog } from '../../../runtime/node/training/log.js';
import { trainDefaults } from '../../../runtime/node/training/options.js';
import { runProgram } from './process-tree.js';
import {
  type BuiltRun,
  buildRun,
  ourBin,
  peerEnvironment,
  peerModel,
  type Setting,
  type Settings,
  script,
} from './programs.js';
import { type Result, resultOf } from './result.js';
import type { EpochRow, StartRow } from './rows.js';

const LR = 5e-4;
/** Threads beside the training that prepare images, of both programs. */
const WORKERS = 1;
/** Orders and dropout are drawn by each program for itself: mean losses of an epoch differ by chance. */
const TOLERANCE = 0.1;
/** torch.compile is left out: it compiles again for each new length of texts. */
const SETTINGS: readonly Setting[] = ['sdpa', 'eager', 'channels-last'];
const TRIAL_STEPS = 8;
const MOST_ROUNDS = 3;

interface Step {
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  /** seconds since 1970 */
  readonly time: number;
}

export interface Trained {
  readonly startedAt: number;
  readonly peakBytes: number;
  readonly steps: readonly Step[];
}

/** A training by `ort-train`, its frozen features not yet computed. */
export async function trainOurs(
  run: string,
  flags: readonly string[],
  { folder, threads, limit }: Settings,
): Promise<Trained> {
  const cache = join(folder, 'cache');
  rmSync(cache, { recursive: true, force: true });
  const args = ['--run', run, '--overwrite', '--eval-every', '0', '--schedule', 'constant', ...flags];
  const { startedAt, peakBytes } = await runProgram(
    process.execPath,
    [
      ourBin('ort-train'),
      ...args,
      ...(threads ? ['--threads', String(threads)] : []),
      ...(limit ? ['--limit', String(limit)] : []),
    ],
    { MILE_ORT_CACHE: cache },
  );
  const steps = readLog(run).filter(
    (line): line is StepEvent & { time: number; seconds: number } => line.type === 'step',
  );
  return { startedAt, peakBytes, steps };
}

export interface PeerTraining {
  readonly batchSize: number;
  readonly epochs: number;
  /** null: all */
  readonly maxSteps: number | null;
  readonly setting: Setting;
}

/** What the peer's loop reads: the model as from_pretrained takes it, and the samples. */
export class PeerFiles {
  private constructor(
    private readonly row: EpochRow | StartRow,
    private readonly built: BuiltRun,
    private readonly settings: Settings,
    private readonly paths: {
      readonly folder: string;
      readonly samples: string;
      readonly checkpoint: string;
    },
  ) {}

  static async write(row: EpochRow | StartRow, built: BuiltRun, settings: Settings): Promise<PeerFiles> {
    const folder = join(settings.folder, `peer-${row.preset}`);
    const samplesFile = join(folder, 'samples.json');
    const { sizes, weights } = peerModel(row, built);
    mkdirSync(folder, { recursive: true });
    await runProgram(settings.python, [script('peer_model.py'), JSON.stringify(sizes), weights, folder]);
    const { dataset, train } = await loadData(trainDefaults);
    const { samples } = tokenise(train.slice(0, settings.limit), built.manifest);
    const listed = samples.map(({ imageId, questionIds: question, answerIds: answer }) => {
      return { image: dataset.imagePath(imageId), question, answer };
    });
    writeFileSync(samplesFile, JSON.stringify(listed));
    const checkpoint = join(folder, 'adapter.pt');
    return new PeerFiles(row, built, settings, { folder, samples: samplesFile, checkpoint });
  }

  async train({ batchSize, epochs, maxSteps, setting }: PeerTraining): Promise<Trained> {
    const { sizes, variant, placement, dropout } = peerModel(this.row, this.built);
    const job = {
      ...{ sizes, variant, placement, dropout, ...this.paths },
      ...{ batch_size: batchSize, epochs, max_steps: maxSteps, lr: LR, setting, workers: WORKERS },
      normalisation: normalisations[this.built.manifest.image.normalisation],
      threads: this.settings.threads ?? null,
    };
    const args = [script('peer_train.py'), JSON.stringify(job)];
    const { startedAt, peakBytes, output } = await runProgram(this.settings.python, args, peerEnvironment);
    const steps = output
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Step);
    return { startedAt, peakBytes, steps };
  }

  /** The setting whose last steps of a few were the fastest. */
  async choose(batchSize: number): Promise<{ setting: Setting; tried: Record<string, number> }> {
    if (this.settings.setting !== 'auto') return { setting: this.settings.setting, tried: {} };
    const tried: Record<string, number> = {};
    for (const setting of SETTINGS) {
      const { steps } = await this.train({ batchSize, epochs: 1, maxSteps: TRIAL_STEPS, setting });
      const times = steps.slice(2).map(({ time }, i) => time - steps[i + 1]!.time);
      tried[setting] = Math.min(...times);
    }
    const setting = SETTINGS.reduce((a, b) => (tried[b]! < tried[a]! ? b : a));
    return { setting, tried };
  }
}

/** Seconds of each epoch: the first from the command on, the others from the end of the one before. */
function epochSeconds({ startedAt, steps }: Trained, epochs: number): number[] {
  const ends = Array.from({ length: epochs }, (_, e) => steps.findLast(({ epoch }) => epoch === e)!.time);
  return ends.map((end, e) => end - (e === 0 ? startedAt : ends[e - 1]!));
}

const meanLoss = (all: readonly Trained[]): number => {
  const first = all.flatMap(({ steps }) => steps.filter(({ epoch }) => epoch === 0));
  return first.reduce((sum, { loss }) => sum + loss, 0) / first.length;
};

/** Two lines: epochs from the second on, and the first with all that comes before it. */
export async function measureEpochs(row: EpochRow, settings: Settings): Promise<Result[]> {
  const deadline = performance.now() + 1000 * settings.rowSeconds;
  const built = await buildRun(row, settings);
  const files = await PeerFiles.write(row, built, settings);
  const { batchSize, epochs, goal } = row;
  const { setting, tried } = await files.choose(batchSize);
  const flags = { '--batch-size': batchSize, '--epochs': epochs, '--lr': LR, '--image-threads': WORKERS };
  const found = { ours: [] as Trained[], peer: [] as Trained[] };
  const rounds = Math.min(settings.repeats, MOST_ROUNDS);
  for (let round = 0; round < rounds && (round === 0 || performance.now() < deadline); round++) {
    found.ours.push(await trainOurs(built.run, Object.entries(flags).flat().map(String), settings));
    found.peer.push(await files.train({ batchSize, epochs, maxSteps: null, setting }));
  }
  const [ours, peer] = [found.ours, found.peer].map((all) => all.map((t) => epochSeconds(t, epochs)));
  const bytes = (all: readonly Trained[]) => Math.max(...all.map(({ peakBytes }) => peakBytes));
  const facts = { what: row.what, setting, tried };
  const memory = { oursBytes: bytes(found.ours), peerBytes: bytes(found.peer) };
  const lossDifference = Math.abs(meanLoss(found.ours) / meanLoss(found.peer) - 1);
  return [
    resultOf(
      { ...facts, row: row.name, goal, lossDifference, tolerance: TOLERANCE },
      { ours: ours!.flatMap((t) => t.slice(1)), peer: peer!.flatMap((t) => t.slice(1)), ...memory },
    ),
    resultOf(
      { ...facts, row: `${row.name}, the first, start included` },
      { ours: ours!.map((t) => t[0]!), peer: peer!.map((t) => t[0]!) },
    ),
  ];
}
