/** @file Runs side by side: the order, the number at a time, and what stops them, with commands that are made up. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { comparable, expectedTotal } from '../../../../runtime/node/study/budget.js';
import type { Command, StudyContext } from '../../../../runtime/node/study/commands.js';
import { instructionFile } from '../../../../runtime/node/study/instruction.js';
import { paperGrid } from '../../../../runtime/node/study/paper-grid.js';
import { runId, type StudyRun } from '../../../../runtime/node/study/row.js';
import type { CommandEnd, RunningCommand } from '../../../../runtime/node/study/run-command.js';
import { sideBySide } from '../../../../runtime/node/study/side-by-side.js';
import { type RunTrouble, readState } from '../../../../runtime/node/study/state.js';
import { Study, type StudyEvents, type StudyPlan } from '../../../../runtime/node/study/study.js';
import { writeJson } from '../../../../training-artifacts/files.js';
import { temporaryFolder } from '../runs.js';
import { answering, context as shared, writeRun } from './fabricate.js';

const ms = (n: number) => new Promise<void>((resolve) => setTimeout(resolve, n));

describe('pieces of work', () => {
  const work = async (jobs: number, lengths: readonly number[], more: object = {}) => {
    const events: string[] = [];
    let [atWork, most] = [0, 0];
    const pieces = lengths.map((_, i) => i);
    await sideBySide(pieces, {
      jobs,
      mayStart: () => true,
      isStopped: () => false,
      onError: () => events.push('error'),
      run: async (i) => {
        events.push(`+${i}`);
        most = Math.max(most, ++atWork);
        await ms(lengths[i]!);
        atWork--;
        events.push(`-${i}`);
      },
      ...more,
    }).catch((error: Error) => events.push(error.message));
    return { events, most };
  };

  test('one at a time is one after the other', async () => {
    const { events, most } = await work(1, [3, 1, 2]);
    expect(events).toEqual(['+0', '-0', '+1', '-1', '+2', '-2']);
    expect(most).toBe(1);
  });

  test('a place that becomes free is taken at once, and never more than there are', async () => {
    const { events, most } = await work(2, [60, 5, 5, 5]);
    expect(most).toBe(2);
    expect(events.indexOf('-0')).toBe(7);
    expect((await work(9, [5, 5])).most).toBe(2);
    expect((await work(3, [])).events).toEqual([]);
  });

  test('one that may not start lets others pass; where all wait for each other, the first starts', async () => {
    const waits = { mayStart: (i: number, others: number[]) => i !== 0 || !others.includes(2) };
    expect((await work(1, [1, 1, 1], waits)).events.filter((e) => e[0] === '+')).toEqual(['+1', '+2', '+0']);
    expect((await work(2, [1, 1, 1], { mayStart: () => false })).events).toEqual([
      ...['+0', '-0', '+1', '-1', '+2', '-2'],
    ]);
  });

  test('an error starts nothing more, and is thrown when what was started has ended', async () => {
    const log: string[] = [];
    const run = async (i: number) => {
      log.push(`+${i}`);
      await ms(i === 1 ? 1 : 30);
      if (i === 1) throw new Error('full');
      log.push(`-${i}`);
    };
    expect((await work(2, [1, 1, 1], { run })).events).toEqual(['error', 'full']);
    expect(log).toEqual(['+0', '+1', '-0']);
  });
});

const ids = ['base', 'full', 'full-then-instruct', 'full-instruct', 'lora-r8-ttp', 'lora-r8-ttp-instruct'];
const rows = paperGrid([1, 5, 6], { preset: 'miss-tiny' }).filter(({ id }) => ids.includes(id));
const runs = rows.map((row): StudyRun => ({ row, seed: 0 }));
const ok: CommandEnd = { code: 0, signal: null, stdout: '', error: '' };

/** A study whose commands take milliseconds and write what the real ones do. */
function studyOf(
  fate: (command: Command, id: string) => Partial<CommandEnd> | 'hangs' | 'stubborn',
  more: Partial<StudyPlan> = {},
) {
  const context: StudyContext = { ...shared, out: join(temporaryFolder(), 'study'), machine: { threads: 1 } };
  const log: string[] = [];
  const ended: Record<string, RunTrouble | undefined> = {};
  const progress: [id: string, share: number, left: number | undefined][] = [];
  let [atWork, most, reporting, reports, reportsAtOnce] = [0, 0, 0, 0, 0];
  const start = (command: Command, file: string, onLine: (line: string) => void): RunningCommand => {
    const id = file.split('/').at(-1)!.replace('.log', '');
    const name = `${command.bin} ${id}`;
    log.push(`+${name}`);
    most = Math.max(most, ++atWork);
    let interrupt = (_: NodeJS.Signals) => {};
    const work = async (): Promise<CommandEnd> => {
      const how = fate(command, id);
      const cut = new Promise<CommandEnd>((resolve) => {
        interrupt = (signal) => {
          if (how === 'hangs' || signal === 'SIGTERM') resolve({ ...ok, code: 130, error: signal });
        };
      });
      const end = typeof how === 'string' ? await cut : { ...ok, ...how };
      if (command.bin === 'ort-train') onLine('lora  step 3/4  epoch 0');
      await ms(15);
      if (end.code === 0 && command.bin === 'ort-data') writeJson(instructionFile(context), []);
      const run = runs.find((r) => runId(r) === id)!;
      if (end.code === 0 && (command.bin === 'ort-train' || !run.row.trained))
        writeRun(context.out, run, { answer: answering(0.2, 0.5, id) });
      atWork--;
      log.push(typeof how === 'string' ? `${end.error} ${name}` : `-${name}`);
      return end;
    };
    return { ended: work(), interrupt: (signal) => interrupt(signal) };
  };
  const onFinished = async () => {
    reports++;
    reportsAtOnce = Math.max(reportsAtOnce, ++reporting);
    await ms(30);
    reporting--;
  };
  const events = {
    started: () => {},
    progress: (...[run, share, left]: Parameters<StudyEvents['progress']>) => {
      progress.push([runId(run), share, left]);
    },
    say: () => {},
    ended: (run: StudyRun, trouble: RunTrouble | undefined) => {
      ended[runId(run)] = trouble;
    },
  };
  const study = new Study(context, runs, events, { budget: undefined, jobs: 2, onFinished, start, ...more });
  return { study, context, log, ended, progress, counts: () => ({ most, reports, reportsAtOnce }) };
}

describe('a study', () => {
  test('has two runs at a time, reports one at a time, and a second stage after its first', async () => {
    const { study, log, ended, progress, counts } = studyOf(() => ok);
    expect(await study.work()).toEqual({ interruptedBy: null, failed: 0, cut: 0 });
    expect(ended).toEqual(Object.fromEntries(runs.map((run) => [runId(run), undefined])));
    expect(counts()).toEqual({ most: 2, reports: runs.length, reportsAtOnce: 1 });
    expect(log.filter((line) => line.startsWith('+ort-data'))).toHaveLength(1);
    expect(progress.map(([id, share]) => [id, share]).sort()).toEqual(
      runs.flatMap((run) => (run.row.trained ? [[runId(run), 0.75]] : [])).sort(),
    );
    // the last one has a quarter left of what another run took
    const [[, , first], [, , last]] = [progress[0]!, progress.at(-1)!];
    expect(last).toBeGreaterThan(0);
    expect(last).toBeLessThan(first ?? Number.POSITIVE_INFINITY);
    const at = (line: string) => log.indexOf(line);
    expect(at('+build-graph full-then-instruct-s0')).toBeGreaterThan(at('-ort-eval full-s0'));
  });

  test('makes the instruction data once, though two runs need them at the same time', async () => {
    const { study, log } = studyOf(() => ok, { jobs: 6 });
    await study.work();
    expect(log.filter((line) => line.startsWith('+ort-data'))).toHaveLength(1);
    const made = log.findIndex((line) => line.startsWith('-ort-data'));
    for (const id of ['full-instruct-s0', 'lora-r8-ttp-instruct-s0'])
      expect(log.indexOf(`+build-graph ${id}`)).toBeGreaterThan(made);
  });

  test('a run that fails stops no other but those that start from it', async () => {
    const { study, ended } = studyOf(({ bin }, id) =>
      bin === 'ort-train' && id === 'full-s0' ? { code: 1, error: 'no luck' } : ok,
    );
    expect(await study.work()).toEqual({ interruptedBy: null, failed: 2, cut: 0 });
    expect(ended['full-s0']).toEqual({ status: 'failed', reason: 'no luck' });
    expect(ended['full-then-instruct-s0']).toMatchObject({ status: 'waits' });
    expect(ended['full-instruct-s0']).toBeUndefined();
  });

  test('Ctrl-C reaches all that are at work, the second one harder, and starts no other', async () => {
    const before = process.listeners('SIGINT');
    const { study, context, log, ended } = studyOf(({ bin }, id) =>
      bin === 'ort-train' ? (id === 'full-s0' ? 'stubborn' : 'hangs') : ok,
    );
    const working = study.work();
    const trainings = () => log.filter((line) => line.startsWith('+ort-train')).length;
    while (trainings() < 2) await ms(5);
    const [own] = process.listeners('SIGINT').filter((listener) => !before.includes(listener));
    own!('SIGINT');
    own!('SIGINT');
    expect(await working).toEqual({ interruptedBy: 'SIGINT', failed: 0, cut: 0 });
    expect(log).toContain('SIGINT ort-train lora-r8-ttp-s0');
    expect(log).toContain('SIGTERM ort-train full-s0');
    expect(trainings()).toBe(2);
    expect([Object.keys(ended), readState(context.out)]).toEqual([['base'], {}]);
    expect(process.listeners('SIGINT')).toEqual(before);
  });

  test('a full disk stops all, and only the run that met it is noted', async () => {
    const { study, context, log } = studyOf(({ bin }, id) => {
      if (bin !== 'ort-train') return ok;
      return id === 'full-s0' ? { code: 2, error: 'cannot write (ENOSPC)' } : 'hangs';
    });
    await expect(study.work()).rejects.toThrow(/^the disk is full: run full-s0 could not be written/);
    expect(log.filter((line) => line.startsWith('SIGINT ort-train'))).toHaveLength(1);
    expect(log.filter((line) => line.startsWith('+ort-train'))).toHaveLength(2);
    expect(Object.keys(readState(context.out))).toEqual(['full-s0']);
  });

  test('an error of the report stops all, too', async () => {
    const onFinished = () => Promise.reject(new Error('no report'));
    const { study, log } = studyOf(({ bin }) => (bin === 'ort-train' ? 'hangs' : ok), { onFinished });
    await expect(study.work()).rejects.toThrow('no report');
    expect(log.filter((line) => line.startsWith('+ort-train')).length).toBeLessThan(2);
  });
});

test('time left: what is done counts, the jobs share the rest, and no job is shorter than its run', () => {
  const [a, b] = runs.filter(({ row }) => row.trained);
  const measured = [a!, b!].map((run) => ({ run, seconds: 100 }));
  expect(expectedTotal([a!, b!], measured, 2)).toBeCloseTo(100, 9);
  expect(expectedTotal([a!, b!, { ...a!, seed: 1 }], measured, 2)).toBeCloseTo(150, 9);
  expect(expectedTotal([a!], measured, 4)).toBeCloseTo(100, 9);
  expect(expectedTotal([a!, b!], measured, 1, (run) => (run === a ? 0.25 : 0))).toBeCloseTo(175, 9);
});

test('times of runs with as many threads count alone, where there are any', () => {
  const measured = [1, 2, undefined].map((threads) => ({ run: runs[1]!, seconds: 10, threads }));
  expect(comparable(measured, 2)).toEqual([measured[1]]);
  expect(comparable(measured, 4)).toEqual(measured);
});
