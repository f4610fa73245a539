/** @file `--device auto`: the fastest device whose first losses are the CPU's. */
import type { GraphRole } from '../../../training-artifacts/graphs/manifest.js';
import type { Feeds } from '../../core/session.js';
import { hasCudaProvider } from './cuda-libraries.js';
import type { Device } from './device.js';
import { isFailure, measureInChild, type Outcome } from './measure-in-child.js';

export interface ChooseOptions {
  readonly run: string;
  /** the training graph that the batches are for */
  readonly role: GraphRole;
  /** a batch as training will have them: its size decides which device is faster */
  readonly feeds: Feeds;
  readonly threads?: number;
}

/** How a device did. */
export interface Trial {
  readonly device: Device;
  readonly msPerStep: number | null;
  /** why it is out; null: its losses are right */
  readonly problem: string | null;
}

export interface ChosenDevice {
  readonly device: Device;
  readonly trials: readonly Trial[];
  /** one sentence for the log */
  readonly note: string;
}

/** Steps of the self-test. */
const STEPS = 3;
/** relative; what two devices may differ in */
export const TOLERANCE = 1e-4;

/** The first step whose loss is not the expected one, as a sentence. */
export function lossProblem(losses: readonly number[], expected: readonly number[]): string | null {
  const at = losses.findIndex((loss, i) => !(Math.abs(loss / expected[i]! - 1) < TOLERANCE));
  return at < 0 ? null : `its loss at step ${at + 1} is ${losses[at]}, not ${expected[at]}`;
}

function judge(device: Device, outcome: Outcome, expected: readonly number[]): Trial {
  if (isFailure(outcome)) return { device, msPerStep: null, problem: outcome.what };
  return { device, msPerStep: outcome.msPerStep, problem: lossProblem(outcome.losses, expected) };
}

/** Devices that are worth a try: CUDA only where its provider is installed. */
const candidates = (): Device[] => (hasCudaProvider() ? ['webgpu', 'cuda'] : ['webgpu']);

/**
 * Three steps on each device from the run's initial values, each in a process of its own; the losses of the CPU are
 * the measure. The CPU wins where nothing else is right and faster.
 *
 * @param measureOne a test's stand-in for the devices
 */
export async function chooseDevice(
  { run, role, feeds, threads }: ChooseOptions,
  measureOne: (device: Device, steps: number) => Promise<Outcome> = (device, steps) =>
    measureInChild({ run, role, device, feeds, steps, ...(threads && { threads }) }),
  others: readonly Device[] = candidates(),
): Promise<ChosenDevice> {
  const reference = await measureOne('cpu', STEPS);
  if (isFailure(reference)) return withNote('cpu', [judge('cpu', reference, [])]);
  const trials = [judge('cpu', reference, reference.losses)];
  for (const device of others) trials.push(judge(device, await measureOne(device, STEPS), reference.losses));
  const right = trials.filter((t) => t.problem === null);
  const fastest = right.reduce((a, b) => (b.msPerStep! < a.msPerStep! ? b : a));
  return withNote(fastest.device, trials);
}

function withNote(device: Device, trials: readonly Trial[]): ChosenDevice {
  const each = trials.map(({ device: name, msPerStep, problem }) =>
    problem ? `${name}: ${problem}` : `${name} ${msPerStep!.toFixed(msPerStep! < 10 ? 1 : 0)} ms a step`,
  );
  return { device, trials, note: `device ${device}, the fastest of ${each.join('; ')}` };
}
