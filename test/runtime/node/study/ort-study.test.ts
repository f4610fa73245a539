/** @file The program: a study that is interrupted, goes on, has a row that fails, and is alone in its folder. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parseYamlGrid } from '../../../../runtime/node/study/yaml-grid.js';
import { expectMessage, runProgram, start, temporaryFolder } from '../runs.js';
import { lives, stepsOf, trainerOf, until } from '../training/support.js';
import { answering, writeRun } from './fabricate.js';

const tiny = `
image-size: 32
hidden: 32
intermediate: 64
vision-layers: 1
vision-heads: 2
text-layers: 1
text-heads: 2
weights: random
batch-size: 8
eval-every: 0
`;
const grid = (own: string): string => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'grid.yaml'), own);
  return folder;
};
/** Seconds for three programs that start one after the other on a busy machine. */
const PATIENCE = 120;
const flags = ['--grid', 'grid.yaml', '--seeds', '1', '--limit', '40', '--threads', '1', '--json'];
const indented = tiny.trim().replaceAll('\n', '\n  ');

describe.concurrent('a study', () => {
  test('is interrupted, goes on where it was, and names the row that fails', {
    timeout: 300_000,
  }, async () => {
    const folder = grid(
      `- method: lora\n  rank: 2\n  sites: nothing.like.this\n  epochs: 40\n  ${indented}\n- method: ia3\n  placement: F/P/P\n  epochs: 40\n  ${indented}\n`,
    );
    const first = start('ort-study', flags, folder);
    const run = join(folder, 'study', 'runs', 'ia3-fpp');
    const runs = join(folder, 'study', 'runs');
    const found = () =>
      existsSync(runs)
        ? readdirSync(runs).find((name) => name.startsWith('ia3') && name.endsWith('s0'))
        : undefined;
    await until(() => found() !== undefined && stepsOf(join(runs, found()!)) > 5, PATIENCE);
    // a second study in the same folder
    const second = await runProgram('ort-study', flags, folder);
    expect(second.stderr).toMatch(
      /^another study works in this folder: process \d+\n {2}where: study\/study\.lock\n {2}to do: /,
    );
    expect(second.code).toBe(2);
    first.child.kill('SIGINT');
    const { code, stderr } = await first.ended;
    expect(code, stderr).toBe(130);
    expect(stderr).toMatch(/s0 {2}failed: .*\n {2}where: /); // the row before did not stop the rest
    expect(stderr).toContain('interrupted: the same command goes on');
    const ia3 = join(runs, found()!);
    const steps = stepsOf(ia3);
    expect(steps).toBeLessThan(200);
    expect(existsSync(join(ia3, 'checkpoint', 'last.safetensors'))).toBe(true);
    expect(existsSync(join(folder, 'study', 'study.lock'))).toBe(false);
    expect(existsSync(run)).toBe(false);

    const end = await runProgram('ort-study', flags, folder);
    expect(end.code, end.stderr).toBe(1);
    const log = readFileSync(join(ia3, 'log', 'metrics.jsonl'), 'utf8');
    expect(
      log
        .trimEnd()
        .split('\n')
        .map((line) => (JSON.parse(line) as { step: number }).step),
    ).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
    const told = JSON.parse(end.stdout) as { missing: number; failed: number; report: string };
    expect(told).toMatchObject({ missing: 1, failed: 1 });
    const report = readFileSync(join(folder, told.report.replace('.html', '.md')), 'utf8');
    expect(report).toMatch(/`lora-r2-ttp[^`]*-s0`: failed: [^\n]*nothing\.like\.this/);
    expect(report).toContain('A try-out: only the first 40 questions');
    const { peakBytes } = JSON.parse(readFileSync(join(ia3, 'log', 'summary.json'), 'utf8')) as {
      peakBytes: number;
    };
    if (process.platform === 'linux') expect(peakBytes).toBeGreaterThan(5e7);
    // collecting again gives the same page
    const before = readFileSync(join(folder, told.report), 'utf8');
    expect((await runProgram('ort-study', ['--collect', '--json'], folder)).code).toBe(0);
    expect(readFileSync(join(folder, told.report), 'utf8') === before).toBe(true);
  });

  test('of two runs at a time saves both when it is interrupted', { timeout: 300_000 }, async () => {
    const folder = grid(`method: [ia3, lora]\nrank: 2\nplacement: F/P/P\nepochs: 400\n${tiny}`);
    const own = flags.flatMap((flag, i) =>
      flags[i - 1] === '--threads' || flag === '--threads' ? [] : [flag],
    );
    const study = start('ort-study', [...own, '--jobs', '2'], folder);
    const both = ['ia3-fpp-s0', 'lora-r2-fpp-s0'];
    const run = (id: string) => join(folder, 'study', 'runs', id);
    await until(() => both.every((id) => stepsOf(run(id)) > 5), PATIENCE);
    study.child.kill('SIGINT');
    const { code, stderr } = await study.ended;
    expect(code, stderr).toBe(130);
    expect(stderr).toContain('the runs save what they have');
    expect(stderr).not.toContain('failed');
    const share = Math.max(1, Math.floor(availableParallelism() / 2));
    for (const id of both) {
      expect(existsSync(join(run(id), 'checkpoint', 'last.safetensors')), id).toBe(true);
      expect(readFileSync(join(folder, 'study', 'log', `${id}.log`), 'utf8')).toMatch(
        new RegExp(`^\\$ ort-train .*--threads ${share}\\b`, 'm'),
      );
    }
  });

  test('that is killed takes its training with it', { timeout: 300_000 }, async () => {
    const folder = grid(`method: ia3\nplacement: F/P/P\nepochs: 400\n${tiny}`);
    const study = start('ort-study', flags, folder);
    const run = join(folder, 'study', 'runs', 'ia3-fpp-s0');
    await until(() => stepsOf(run) > 5, PATIENCE);
    const train = trainerOf(study.child.pid!)!;
    const trainer = trainerOf(train)!;
    expect([lives(train), lives(trainer)]).toEqual([true, true]);
    study.child.kill('SIGKILL');
    await study.ended;
    await until(() => !lives(train) && !lives(trainer), PATIENCE);
    expect((await runProgram('ort-study', [...flags, '--list'], folder)).code).toBe(0);
  });

  test('with a budget that holds no run says so, and how much a run needs', {
    timeout: 300_000,
  }, async () => {
    const folder = grid(`method: ia3\nplacement: F/P/P\nepochs: 100000\n${tiny}`);
    const { code, stdout, stderr } = await runProgram('ort-study', [...flags, '--budget', '20s'], folder);
    expect(stderr).toMatch(
      /the budget is too small: a run takes about [\d.]+ (h|min)\n {2}where: --budget\n {2}to do: allow more/,
    );
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(existsSync(join(folder, 'study', 'study.lock'))).toBe(false);
  });
});

test('what would end after the budget is cut, by the times of runs that are finished', {
  timeout: 300_000,
}, async () => {
  const source = `method: [lora, ia3]\nrank: 2\nplacement: [F/P/P, T/P/P]\nepochs: 1\n${tiny}`;
  const folder = grid(source);
  const out = join(folder, 'study');
  const answer = answering(0.1, 0.5, 'budget');
  // LoRA is finished: seconds with a frozen image encoder, hours with a trained one
  for (const row of parseYamlGrid(source, 'grid.yaml', { preset: 'miss-tiny' })) {
    const secondsPerStep = row.placement === 'F/P/P' ? 1 : 3600;
    if (row.variant !== 'ia3')
      writeRun(out, { row, seed: 0 }, { answer, epochs: 1, secondsPerStep, limit: 40 });
  }
  const args = [...flags, '--budget', '10m'];
  const { code, stdout, stderr } = await runProgram('ort-study', args, folder);
  expect(code, stderr).toBe(0);
  expect(stderr).toMatch(/ia3-fpp-s0 {2}done in/);
  expect(stderr).toMatch(/ia3-tpp-s0 {2}cut: the budget did not reach: about 4\.0 h needed, \d+ min left/);
  expect(JSON.parse(stdout)).toMatchObject({ missing: 1, cut: 1, failed: 0 });
  expect(readFileSync(join(out, 'report.md'), 'utf8')).toContain(
    '`ia3-tpp-s0`: cut: the budget did not reach',
  );
});

test('input that means nothing is refused before anything is written', async () => {
  const folder = grid('method: lora\nrnak: 4\n');
  const refused = (args: string[], message: RegExp) => expectMessage('ort-study', args, message, folder);
  await refused(['--grid', 'grid.yaml'], /^unknown key 'rnak'\n {2}where: grid\.yaml:2:1\n/);
  await refused(['--grid', 'none.yaml'], /^cannot read \(ENOENT\)\n/);
  await refused(['--grid', 'papers'], /^unknown grid 'papers'\n/);
  await refused(['--budget', '0h'], /^'0h' is no time to work with\n/);
  await refused(['--tables', '9'], /^tables '9'\n/);
  await refused(['--seeds', '0'], /^0 is not a whole number from 1\n/);
  await refused(['--jobs', '0'], /^0 is not a whole number from 1\n {2}where: --jobs\n/);
  await refused(['--collect'], /^no study lies here: it has no grid\.json\n/);
  await refused(['--list', '--collect'], /^--list prints commands/);
});

/** Whether this machine can mount a file system of a size. */
const canMount = ((): boolean => {
  const probe = temporaryFolder();
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', probe], { stdio: 'ignore' });
    execFileSync('umount', [probe]);
    return true;
  } catch {
    return false;
  }
})();

describe.skipIf(!canMount)('a full disk (skipped where mounting a tmpfs is not permitted)', () => {
  const disk = temporaryFolder();
  afterAll(() => {
    execFileSync('umount', [disk]);
  });

  test('ends the study with what to do; with space it goes on', { timeout: 300_000 }, async () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=40m', 'tmpfs', disk]);
    writeFileSync(join(disk, 'grid.yaml'), `method: ia3\nplacement: [F/P/P, F/F/P]\nepochs: 1\n${tiny}`);
    const { bavail, bsize } = statfsSync(disk);
    writeFileSync(join(disk, 'filler'), new Uint8Array(bavail * bsize - 400_000));
    const full = await runProgram('ort-study', flags, disk);
    expect(full.stderr).toMatch(
      /the disk is full: run ia3-fpp-s0 could not be written\n {2}where: study\n {2}to do: free some/,
    );
    expect(full.stderr).not.toContain('    at ');
    expect(full.stderr).not.toContain('ia3-ffp');
    expect(full.code).toBe(2);
    rmSync(join(disk, 'filler'));
    const { code, stderr } = await runProgram('ort-study', flags, disk);
    expect(code, stderr).toBe(0);
  });
});
