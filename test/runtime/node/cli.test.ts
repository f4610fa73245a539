/** @file What the programs print when all is well. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, expect, test } from 'vitest';
import { NOTICE } from '../../../runtime/node/cli/main.js';
import { emitVariant } from '../../../training-artifacts/graphs/emit.js';
import { copyOf, listing, runProgram, temporaryFolder, tinyBuild, writeDeepGrey } from './runs.js';

const folder = temporaryFolder();
const trained = join(folder, 'trained');
const image = join(folder, 'grey16.png');

beforeAll(async () => {
  emitVariant(tinyBuild, trained);
  const flags = ['--run', trained, '--limit', '8', '--batch-size', '8', '--epochs', '1', '--eval-every', '0'];
  const { code, stderr } = await runProgram('ort-train', flags, folder);
  expect(code, stderr).toBe(0);
  await writeDeepGrey(image);
});

test('--dry-run --json counts the parameters of miss-base within 5 seconds and writes nothing', async () => {
  const own = temporaryFolder();
  const flags = [
    '--variant',
    'lora-r4',
    '--preset',
    'miss-base',
    '--placement',
    'F/P/P',
    '--dry-run',
    '--json',
  ];
  const { code, stdout, stderr, seconds } = await runProgram('build-graph', flags, own);
  expect(code, stderr).toBe(0);
  const { total, trainable, percent, modules, ...rest } = JSON.parse(stdout) as {
    total: number;
    trainable: number;
    percent: number;
    modules: Record<string, { trainable: number; total: number }>;
  };
  expect(rest).toEqual({ preset: 'miss-base', variant: 'lora-r4', placement: 'F/P/P' });
  const adapters = 2 * 12 * 4 * 4 * (768 + 768); // modules · layers · sites · rank · (in + out)
  expect(trainable).toBe(adapters);
  expect(total).toBe(361_478_972 + adapters);
  expect(percent).toBeCloseTo((100 * trainable) / total, 10);
  expect(Object.keys(modules)).toEqual(['visual_encoder', 'text_encoder', 'text_decoder']);
  expect(modules.visual_encoder!.trainable).toBe(0);
  expect(Object.values(modules).reduce((n, m) => n + m.total, 0)).toBe(total);
  expect(listing(own)).toEqual([]);
  expect(seconds).toBeLessThan(5);
});

test.each(['build-graph', 'ort-train', 'ort-eval', 'ort-answer'])('%s --help', async (bin) => {
  const own = temporaryFolder();
  const { code, stdout, stderr } = await runProgram(bin, ['--help'], own);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(new RegExp(`Examples:\n +${bin}`));
  expect(stdout).toContain('--run'.slice(0, bin === 'build-graph' ? 2 : 5));
  for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(110);
  expect(listing(own)).toEqual([]);
});

test('ort-answer answers about a 16-bit grey PNG and a WebP', async () => {
  const webp = join(folder, 'photo.webp');
  await sharp(image).toColourspace('srgb').webp().toFile(webp);
  for (const picture of [image, webp]) {
    const args = ['--run', trained, '--image', picture, '--question', 'is this normal?'];
    const { code, stdout, stderr } = await runProgram('ort-answer', [...args, '--json'], folder);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const result = JSON.parse(stdout) as Record<string, unknown> & {
      beams: { answer: string; probability: number; score: number }[];
    };
    expect(result).toMatchObject({
      run: trained,
      image: picture,
      question: 'is this normal?',
      notice: NOTICE,
    });
    expect(result.beams).toHaveLength(3);
    expect(result.answer).toBe(result.beams[0]!.answer);
    for (const { probability } of result.beams) {
      expect(probability).toBeGreaterThan(0);
      expect(probability).toBeLessThanOrEqual(1);
    }
  }
});

test('ort-answer prints beams as a table, with the notice', async () => {
  const args = ['--run', trained, '--image', image, '--question', 'why?', '--beams', '2'];
  const { stdout } = await runProgram('ort-answer', args, folder);
  expect(stdout).toMatch(/\(probability [\d.]+%\)\n\nbeam +%\n(.+ [\d.]+\n){2}\n/);
  expect(stdout.trimEnd().endsWith(NOTICE)).toBe(true);
});

test('ort-eval scores, writes predictions and says how answers are compared', async () => {
  const run = copyOf(trained);
  const { code, stdout, stderr } = await runProgram(
    'ort-eval',
    ['--run', run, '--limit', '6', '--json'],
    folder,
  );
  expect(code, stderr).toBe(0);
  const { scores, predictions } = JSON.parse(stdout) as {
    scores: { overall: { n: number } };
    predictions: string;
  };
  expect(scores.overall.n).toBe(6);
  expect(readFileSync(predictions, 'utf8').trimEnd().split('\n')).toHaveLength(6);
});
