/**
 * @file kill -9 at random moments, then --resume, until the training has ended: every number as if nothing had
 * happened. MILE_ORT_TEST=full kills 20 times, else 3; MILE_ORT_KILL_SEED draws other moments.
 */
import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';
import { uniform } from '../../../../datasets/random.js';
import { readLog } from '../../../../runtime/node/training/log.js';
import { hasCheckpoint, readCheckpoint } from '../../../../training-artifacts/checkpoint/checkpoint.js';
import { listCheckpoints } from '../../../../training-artifacts/checkpoint/checkpoint-files.js';
import { readManifest } from '../../../../training-artifacts/graphs/manifest.js';
import { runProgram, start } from '../runs.js';
import {
  build,
  copyOf,
  expectSameTraining,
  folder,
  leftovers,
  lives,
  programFlags,
  programOptions,
  stepsOf,
  train,
  trainerOf,
  until,
} from './support.js';

const KILLS = process.env.MILE_ORT_TEST === 'full' ? 20 : 3;
const SEED = Number(process.env.MILE_ORT_KILL_SEED ?? 0);

let built = '';
let reference = '';
/** of the program from its start to its end */
let lifetimeMs = 0;
beforeAll(async () => {
  built = build();
  reference = copyOf(built);
  await train(reference, { options: programOptions });
  const run = copyOf(built);
  const { code, stderr, seconds } = await runProgram('ort-train', programFlags(run), folder);
  expect(code, stderr).toBe(0);
  expectSameTraining(run, reference);
  lifetimeMs = 1000 * seconds;
});

/** What the log says, but for what depends on the clock. */
const logOf = (run: string) =>
  readLog(run).map(({ time: _, seconds: __, ...line }) => ({ ...line, samplesPerSecond: 0, waitMs: 0 }));

/** After a kill: every checkpoint whole, every line of the log that is whole equal to the reference's. */
function expectWhole(run: string): void {
  for (const name of listCheckpoints(run)) readCheckpoint(run, name, readManifest(run));
  const log = logOf(run);
  expect(log).toEqual(logOf(reference).slice(0, log.length));
}

/**
 * Starts or resumes the training and kills it. Kills of even number come while steps are made, the others at any time
 * of the program's life; every third hits the program, else it is its trainer.
 *
 * @returns false when it had ended before
 */
async function killOnce(run: string, kill: number): Promise<boolean> {
  const random = (what: string) => uniform(SEED, 'kill', kill, what);
  const resume = hasCheckpoint(run) ? ['--resume'] : [];
  const { child, ended, said } = start('ort-train', [...programFlags(run), ...resume], folder);
  let over = false;
  void ended.then(() => {
    over = true;
  });
  if (kill % 2 === 0) {
    const from = stepsOf(run);
    const goal = from + 1 + Math.floor(12 * random('steps'));
    await until(() => over || (stepsOf(run) !== from && stepsOf(run) >= goal));
    await setTimeout(20 * random('moment'));
  } else await Promise.race([ended, setTimeout(lifetimeMs * random('moment'))]);
  const trainer = trainerOf(child.pid!);
  if (over || child.exitCode !== null) return false;
  const killsProgram = kill % 3 === 2 || !trainer;
  process.kill(killsProgram ? child.pid! : trainer, 'SIGKILL');
  const { code } = await ended;
  if (trainer) await until(() => !lives(trainer)); // it ends without its parent
  if (!killsProgram && code !== 0) {
    expect(code, said()).toBe(2);
    expect(said()).toContain('the training process was ended by SIGKILL');
    expect(said()).toContain('--resume');
    expect(said()).not.toContain('    at ');
  }
  return true;
}

// Linux: the test finds the trainer in /proc
test.runIf(existsSync('/proc/self/status'))(
  `killed ${KILLS} times (seed ${SEED})`,
  async () => {
    let run = copyOf(built);
    for (let kill = 0; kill < KILLS; ) {
      if (await killOnce(run, kill)) kill += 1;
      else {
        expectSameTraining(run, reference);
        run = copyOf(built);
      }
      expectWhole(run);
    }
    const resume = hasCheckpoint(run) ? ['--resume'] : [];
    const { code, stderr } = await runProgram('ort-train', [...programFlags(run), ...resume], folder);
    expect(code, stderr).toBe(0);
    expectSameTraining(run, reference);
    expect(leftovers(run)).toEqual([]);
  },
  600_000,
);
