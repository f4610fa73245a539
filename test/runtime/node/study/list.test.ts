/** @file Lists for other schedulers, as a shell and a YAML parser of others read them. See test/oracles/study. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import type { StudyContext } from '../../../../runtime/node/study/commands.js';
import { instructionFile } from '../../../../runtime/node/study/instruction.js';
import {
  formatList,
  kubernetesJob,
  listCommands,
  listNotes,
  slurmScript,
} from '../../../../runtime/node/study/list.js';
import { paperGrid } from '../../../../runtime/node/study/paper-grid.js';
import { runsOf } from '../../../../runtime/node/study/settings.js';
import { writeJson } from '../../../../training-artifacts/files.js';
import { temporaryFolder } from '../runs.js';
import { answering, context, writeRun } from './fabricate.js';

const rows = paperGrid([1, 2, 3, 4, 5], { preset: 'miss-tiny' });
const of = (out: string): StudyContext => ({ ...context, out, machine: { threads: 2 } });
const runs = runsOf({ rows: rows.map((row) => ({ ...row, seeds: row.trained ? [0, 1] : [0] })) });

/** The words of a command as a shell takes them apart. */
const words = (line: string): string[] =>
  execFileSync('bash', ['-c', `npx() { printf '%s\\n' "$@"; }; ${line}`], { encoding: 'utf8' })
    .trim()
    .split('\n');

test('a line a run that is left; those that are finished, or wait for another, are not in it', () => {
  const out = join(temporaryFolder(), 'a study');
  const before = listCommands(of(out), runs);
  expect(before.lines).toHaveLength(1 + 2 * 25);
  expect(before.first).toContain('npx ort-data instruct');
  expect(before.lines.join()).not.toContain('ort-data');
  expect(listNotes(before, of(out)).at(-1)).toMatch(/^2 runs start from others/);
  const full = runs.find(({ row, seed }) => row.id === 'full' && seed === 1)!;
  writeRun(out, full, { answer: answering(0.2, 0.5, 'a') });
  writeJson(instructionFile({ out }), []);
  const after = listCommands(of(out), runs);
  expect(after.lines).toHaveLength(2 * 25 + 1); // one is done, its second stage may start
  expect(after.first).toBeUndefined();
  expect(after.waiting).toHaveLength(1);
  const line = after.lines.find((l) => l.includes('--init-from'))!;
  expect(words(line)).toContain(`${out}/runs/full-s1`);
});

test('half-trained runs go on', () => {
  const out = temporaryFolder();
  const run = runs[1]!;
  writeRun(out, run, { answer: answering(0.2, 0.5, 'a'), finished: false });
  const [line] = listCommands(of(out), [run]).lines;
  expect(words(line!).slice(0, 4)).toEqual([
    'ort-train',
    '--run',
    `${out}/runs/${run.row.id}-s0`,
    '--resume',
  ]);
});

test('the Slurm script runs the command of its task, and its exit code is the command’s', () => {
  const script = slurmScript(['echo one', "echo 'two  words' && false", 'echo three'], { out: 'study' });
  const task = (id: string) =>
    execFileSync('bash', ['-c', script], {
      encoding: 'utf8',
      env: { ...process.env, SLURM_ARRAY_TASK_ID: id },
    });
  expect(task('1')).toBe('one\n');
  expect(task('3')).toBe('three\n');
  expect(() => task('2')).toThrow();
  expect(() => task('9')).toThrow(/no run 9/);
  expect(script).toContain('#SBATCH --array=1-3\n');
});

test('the Kubernetes job has a completion for each run', () => {
  const job = parse(kubernetesJob(['echo one', 'echo two'], { out: 'study' })) as {
    spec: { completions: number; template: { spec: { containers: { command: string[] }[] } } };
  };
  expect(job.spec.completions).toBe(2);
  const [bash, flag, body] = job.spec.template.spec.containers[0]!.command;
  const pod = (index: string) =>
    execFileSync(bash!, [flag!, body!], {
      encoding: 'utf8',
      env: { ...process.env, JOB_COMPLETION_INDEX: index },
    });
  expect([pod('0'), pod('1')]).toEqual(['one\n', 'two\n']);
  expect(() => pod('2')).toThrow();
  expect(formatList({ lines: [], first: undefined, waiting: [] }, 'kubernetes', of('study'))).toBe('');
});
