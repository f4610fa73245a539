/** @file A model small enough to build and train in seconds, and the programs as users start them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, expect } from 'vitest';
import type { TrainOptions } from '../../../runtime/node/training/options.js';
import { trainDefaults } from '../../../runtime/node/training/options.js';
import type { BuildOptions } from '../../../training-artifacts/graphs/plan.js';

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** An empty folder, removed after the file's tests. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-test-'));
  folders.push(folder);
  return folder;
}

export const tinySizes = {
  imageSize: 32,
  hidden: 32,
  intermediate: 64,
  visionLayers: 1,
  visionHeads: 2,
  textLayers: 1,
  textHeads: 2,
} as const;

/** The image encoder trained, LoRA on both text modules, dropout on, drawn weights. */
export const tinyBuild: BuildOptions = {
  preset: 'miss-tiny',
  sizes: tinySizes,
  variant: 'lora-r2',
  placement: 'T/P/P',
  weights: 'random',
};

/** The same on the command line. */
export const tinyFlags: readonly string[] = [
  ...Object.entries(tinySizes).flatMap(([name, n]) => [
    `--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`,
    `${n}`,
  ]),
  ...['--variant', 'lora-r2', '--placement', 'T/P/P', '--weights', 'random'],
];

/** 5 steps an epoch. */
export const tinyTraining: TrainOptions = {
  ...trainDefaults,
  limit: 40,
  batchSize: 8,
  epochs: 2,
  evalEvery: 0,
  threads: 1,
  lr: 1e-3,
};

const bins = new URL('../../../.build/runtime/node/cli/bin/', import.meta.url).pathname;

export interface Program {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; stdout: string; stderr: string; seconds: number }>;
  /** standard error so far */
  readonly said: () => string;
}

/** Starts a compiled program (`npx tsc` makes them) in a folder, with a cache of its own. */
export function start(bin: string, args: readonly string[], cwd: string): Program {
  if (!existsSync(bins)) throw new Error('compile first: npx tsc');
  const started = performance.now();
  const child = spawn(process.execPath, [join(bins, `${bin}.js`), ...args], {
    cwd,
    env: { ...process.env, MILE_ORT_CACHE: join(tmpdir(), 'mile-ort-test-cache'), NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout!.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr!.on('data', (chunk) => {
    stderr += chunk;
  });
  const ended = new Promise<Awaited<Program['ended']>>((resolve) => {
    child.on('close', (code) =>
      resolve({ code, stdout, stderr, seconds: (performance.now() - started) / 1000 }),
    );
  });
  return { child, ended, said: () => stderr };
}

export const runProgram = (bin: string, args: readonly string[], cwd: string): Program['ended'] =>
  start(bin, args, cwd).ended;

/** Paths of all files and folders below a folder, with sizes. */
export const listing = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .map((e) => join(e.parentPath, e.name).slice(folder.length + 1))
    .sort();

/** The log, without what depends on the clock. */
export function metricsOf(run: string): Record<string, unknown>[] {
  const text = readFileSync(join(run, 'log', 'metrics.jsonl'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => {
      const { samplesPerSecond, waitMs, time, seconds, ...rest } = JSON.parse(line) as Record<
        string,
        unknown
      >;
      expect([time, seconds].every(Number.isFinite), line).toBe(true);
      return rest;
    });
}

/** The flags of the small model with one of them replaced. */
export const instead = (flag: string, other: string) => tinyFlags.with(tinyFlags.indexOf(flag), other);

/** A copy of a run in a folder of its own. */
export const copyOf = (run: string): string => {
  const copy = join(temporaryFolder(), 'run');
  cpSync(run, copy, { recursive: true });
  return copy;
};

/** What, where and what to do, and not a line more; nothing on standard output. */
export async function expectMessage(
  bin: string,
  args: readonly string[],
  message: RegExp,
  cwd = temporaryFolder(),
): Promise<void> {
  const before = listing(cwd);
  const { code, stdout, stderr } = await runProgram(bin, args, cwd);
  expect(stderr).toMatch(message);
  expect(stderr).toMatch(/^[^\n]+(\n {2}Argument: [^\n]+)?\n {2}where: [^\n]+\n {2}to do: [^\n]+\n$/);
  expect(stderr).not.toMatch(/\n {4}at |undefined|\[object|internal:/);
  expect(stdout).toBe('');
  expect(code).toBe(2);
  expect(listing(cwd)).toEqual(before);
}

/** A grey image of 16 bits of which it uses 12. */
export async function writeDeepGrey(file: string): Promise<void> {
  const values = Uint16Array.from({ length: 24 * 16 }, (_, i) => 100 + 10 * i);
  const raw = { width: 24, height: 16, channels: 1, premultiplied: false } as const;
  await sharp(Buffer.from(values.buffer), { raw }).toColourspace('grey16').png().toFile(file);
}
