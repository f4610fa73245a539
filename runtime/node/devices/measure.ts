/** @file A few training steps on a device: what the self-tests measure. */
import { initialTensors } from '../../../training-artifacts/checkpoint/checkpoint.js';
import { type GraphRole, readAnyManifest } from '../../../training-artifacts/graphs/manifest.js';
import { adamWDefaults } from '../../core/adamw.js';
import type { Feeds } from '../../core/session.js';
import { INITIAL_LOSS_SCALE } from '../../core/trainer.js';
import type { Device } from './device.js';
import { openTrainer } from './open-trainer.js';

export interface MeasureJob {
  readonly run: string;
  readonly role: GraphRole;
  readonly device: Device;
  readonly threads?: number;
  /** one batch, taken again at every step */
  readonly feeds: Feeds;
  readonly steps: number;
  /** default 1e-3 */
  readonly lr?: number;
}

export interface Measured {
  /** one a step: the first is that of the initial values */
  readonly losses: readonly number[];
  /** median of the steps after the first, which compiles and allocates */
  readonly msPerStep: number;
  readonly firstStepMs: number;
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

/** Trains a run from its initial values and keeps nothing of it. */
export async function measure(job: MeasureJob): Promise<Measured> {
  const { run, role, device, threads, feeds, steps, lr = 1e-3 } = job;
  const manifest = readAnyManifest(run);
  const { trainer, release } = await openTrainer({
    run,
    manifest,
    role,
    device,
    ...(threads && { threads }),
    tensors: initialTensors(run, manifest),
    options: { ...adamWDefaults, clip: 1 },
    state: { step: 0, lossScale: INITIAL_LOSS_SCALE },
  });
  const losses: number[] = [];
  const times: number[] = [];
  for (let i = 0; i < steps; i++) {
    const start = performance.now();
    losses.push((await trainer.step([feeds], lr)).loss);
    times.push(performance.now() - start);
  }
  await release();
  const [firstStepMs, ...later] = times as [number, ...number[]];
  return { losses, firstStepMs, msPerStep: median(later.length > 0 ? later : [firstStepMs]) };
}
