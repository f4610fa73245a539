/** @file Rows whose work both programs repeat in turn: training steps and answers. */
import { join } from 'node:path';
import { buildRun, openOurs, openPeer, peerModel, type Settings } from './programs.js';
import { type Measurement, type Result, resultOf } from './result.js';
import type { StepRow } from './rows.js';
import type { SettingChooser } from './setting.js';
import type { Reply, Worker } from './worker.js';

type Command = Readonly<Record<string, unknown>>;
type Program = 'ours' | 'peer';

/** Rounds that a row has at least, however slow it is. */
const FEWEST_ROUNDS = 3;
/** What rounding explains between two losses; 8 and 16 bits differ by what they round. */
const TOLERANCE = { float32: 1e-5, int8: 0.05, bf16: 0.02 };

const timed = async (worker: Worker): Promise<number> =>
  ((await worker.ask({ do: 'run' })) as { ms: number }).ms / 1000;

/** Opens programs and measures them round by round in turn; the first round warms up. */
async function inTurn(
  programs: Readonly<Partial<Record<Program, () => Promise<Worker>>>>,
  rounds: number,
  deadline: number,
): Promise<Required<Measurement>> {
  const found = { ours: [] as number[], peer: [] as number[], oursBytes: 0, peerBytes: 0 };
  const opened: [Program, Worker][] = [];
  try {
    for (const name of ['ours', 'peer'] as const) {
      const worker = await programs[name]?.();
      if (worker) opened.push([name, worker]);
    }
    for (const [, worker] of opened) worker.watchMemory();
    for (let round = -1; round < rounds; round++) {
      for (const [name, worker] of opened) {
        const seconds = await timed(worker);
        if (round >= 0) found[name].push(seconds);
      }
      if (round + 1 >= FEWEST_ROUNDS && performance.now() > deadline) break;
    }
  } finally {
    for (const [name, worker] of opened) found[`${name}Bytes`] = await worker.close();
  }
  return found;
}

/** One program after the other, twice, so that a slower half of the time slows both. */
async function apart(
  programs: Readonly<Record<Program, () => Promise<Worker>>>,
  repeats: number,
  deadline: number,
): Promise<Required<Measurement>> {
  const found = { ours: [] as number[], peer: [] as number[], oursBytes: 0, peerBytes: 0 };
  for (const rounds of [Math.ceil(repeats / 2), Math.floor(repeats / 2)]) {
    if (rounds === 0 || (found.ours.length >= FEWEST_ROUNDS && performance.now() > deadline)) continue;
    for (const name of ['ours', 'peer'] as const) {
      const part = await inTurn({ [name]: programs[name] }, rounds, Number.POSITIVE_INFINITY);
      found[name].push(...part[name]);
      found[`${name}Bytes`] = Math.max(found[`${name}Bytes`], part[`${name}Bytes`]);
    }
  }
  return found;
}

/** A program made ready; `check` sees its answer. */
async function opened(worker: Worker, command: Command, check?: (reply: Reply) => void): Promise<Worker> {
  try {
    const reply = await worker.ask(command);
    check?.(reply);
    return worker;
  } catch (error) {
    await worker.close();
    throw error;
  }
}

interface Facts {
  /** of the batch, without dropout */
  readonly loss: number;
  /** numbers that are trained */
  readonly trainable: number;
}

/** Writes what the peer needs of the row's batch. */
async function prepare(command: Command): Promise<Facts & { readonly place: unknown }> {
  const worker = openOurs('step');
  try {
    return (await worker.ask({ do: 'prepare', ...command })) as unknown as Facts & { place: unknown };
  } finally {
    await worker.close();
  }
}

/** @throws {Error} when a program fails, or they train different numbers. */
export async function measureSteps(
  row: StepRow,
  settings: Settings,
  chooser: SettingChooser,
): Promise<Result> {
  const { folder, threads, repeats, rowSeconds } = settings;
  const deadline = performance.now() + 1000 * rowSeconds;
  const built = await buildRun(row, settings);
  const files = { batch: join(folder, 'batch.safetensors'), adapters: join(folder, 'adapters.safetensors') };
  const options = { ...row.options, threads: threads ?? null };
  const common = { run: built.run, options };
  const own = await prepare({ ...common, batchFile: files.batch, adaptersFile: files.adapters });
  const { work } = row;
  const peerOpen = {
    do: 'open',
    ...peerModel(row, built),
    ...files,
    threads: threads ?? null,
    lr: 1e-5,
    work,
  };
  const { preset, variant, placement } = row;
  const kind = [preset, variant, placement, work, options.batchSize, options.questionsPerImage].join();
  const { setting, tried } = row.setting
    ? { setting: row.setting, tried: {} }
    : await chooser.choose(kind, peerOpen);
  let peerLoss = Number.NaN;
  const check = ({ loss, trainable }: Reply) => {
    peerLoss = loss as number;
    if (trainable !== own.trainable)
      throw new Error(`${row.name}: ours trains ${own.trainable} numbers, the peer ${trainable}`);
  };
  const programs = {
    ours: () => opened(openOurs(work), { do: 'open', ...common, work, place: own.place }),
    peer: () => opened(openPeer(settings), { ...peerOpen, setting }, check),
  };
  const measured = await (row.apart ? apart : inTurn)(programs, repeats, deadline);
  const tolerance = TOLERANCE[row.frozenCompute ?? row.setting ?? 'float32'];
  const { goal, memoryGoal, what } = row;
  return resultOf(
    {
      ...{ row: row.name, what, setting, tried, goal, memoryGoal, tolerance },
      lossDifference: Math.abs(own.loss - peerLoss) / own.loss,
    },
    measured,
  );
}
