/** @file ort-answer --explain: the PNG over the image, the numbers, the deletion test. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, expect, test } from 'vitest';
import { inferno, overlay, stretched } from '../../../../runtime/core/colour-map.js';
import { checkExplain } from '../../../../runtime/node/cli/eval/flags.js';
import { explanationPng } from '../../../../runtime/node/explain.js';
import { emitVariant } from '../../../../training-artifacts/graphs/emit.js';
import { expectMessage, runProgram, temporaryFolder, tinyBuild } from '../runs.js';

const folder = temporaryFolder();
const image = join(folder, 'half.png');
/** left third white, wider than high: a transposed or squeezed image would show */
const WIDTH = 60;
const HEIGHT = 40;

beforeAll(async () => {
  const data = Buffer.alloc(3 * WIDTH * HEIGHT);
  for (let i = 0; i < data.length; i++) data[i] = Math.floor(i / 3) % WIDTH < 20 ? 255 : 0;
  await sharp(data, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } })
    .withExif({ IFD0: { ImageDescription: 'SECRET NAME' } })
    .png()
    .toFile(image);
});

test.each(['lora-r2', 'prefix-n4'])('a run of %s explains itself', async (variant) => {
  const run = join(folder, variant);
  emitVariant({ ...tinyBuild, variant, placement: 'F/P/P' }, run);
  const png = join(folder, `${variant}.png`);
  const args = [
    '--run',
    run,
    '--image',
    image,
    '--question',
    'is it white?',
    '--explain',
    png,
    '--draws',
    '20',
  ];
  const { code, stdout, stderr } = await runProgram('ort-answer', [...args, '--json'], folder);
  expect(code, stderr).toBe(0);
  const { probability, explanation } = JSON.parse(stdout);
  expect(explanation.png).toBe(png);
  const numbers = JSON.parse(readFileSync(join(folder, `${variant}.json`), 'utf8'));
  expect(numbers.grid).toEqual({ rows: 2, columns: 2 });
  for (const map of [numbers.attention, numbers.gradient]) {
    expect(map.flat()).toHaveLength(4);
    expect(Math.min(...map.flat())).toBeGreaterThanOrEqual(0);
  }
  // of all that attention gives, the class token has the rest
  const total = numbers.attention.flat().reduce((a: number, b: number) => a + b, 0);
  expect(total).toBeGreaterThan(0.5);
  expect(total).toBeLessThanOrEqual(1 + 1e-5);
  const { whole, random, patches, p } = explanation.deletion.gradient;
  expect(whole).toBeCloseTo(probability, 5);
  expect([random.length, patches]).toEqual([20, 1]);
  expect(p).toBeGreaterThan(0);
  expect(readFileSync(png).includes('SECRET')).toBe(false);
  expect(stdout + JSON.stringify(numbers)).not.toContain('SECRET');
});

test('the panels show the whole image, upright, and the map where it is hot', async () => {
  const data = new Uint8Array(3 * WIDTH * HEIGHT).map((_, i) => (Math.floor(i / 3) % WIDTH < 20 ? 255 : 0));
  const map = (values: number[]) => ({ rows: 2, columns: 2, values: Float32Array.from(values) });
  const png = await explanationPng(
    { data, width: WIDTH, height: HEIGHT },
    { gradient: map([0, 0, 0, 9]), attention: map([0, 5, 0, 0]) },
  );
  const { data: pixels, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
  expect([info.width, info.height, info.channels]).toEqual([3 * 480 + 48, 320 + 70, 3]);
  const at = (panel: number, x: number, y: number) => {
    const i = 3 * ((30 + y) * info.width + 12 + panel * 492 + x);
    return [...pixels.subarray(i, i + 3)];
  };
  expect(at(0, 60, 300)).toEqual([255, 255, 255]);
  expect(at(0, 300, 20)).toEqual([0, 0, 0]);
  const hot = at(1, 470, 310); // lower right is hot in the first map, upper right in the second
  expect(hot[0]).toBeGreaterThan(150);
  expect(at(1, 470, 10)).toEqual([0, 0, 0]);
  expect(at(2, 470, 10)[0]).toBeGreaterThan(150);
  expect(at(2, 470, 310)).toEqual([0, 0, 0]);
});

test('inferno goes from black to pale yellow, lighter at every step', () => {
  expect([inferno(0), inferno(1)]).toEqual([
    [0, 0, 4],
    [252, 255, 164],
  ]);
  const lightness = Array.from({ length: 65 }, (_, i) => {
    const linear = inferno(i / 64).map((c) => (c / 255) ** 2.2);
    return Math.cbrt(0.2126 * linear[0]! + 0.7152 * linear[1]! + 0.0722 * linear[2]!);
  });
  for (let i = 1; i < 65; i++) expect(lightness[i]!).toBeGreaterThan(lightness[i - 1]!);
});

test('a flat map leaves the image as it is', () => {
  expect([...stretched(Float32Array.of(2, 2))]).toEqual([0, 0]);
  const rgb = Uint8Array.from({ length: 12 }, (_, i) => 20 * i);
  expect(overlay(rgb, 2, 2, { rows: 1, columns: 1, values: Float32Array.of(3) })).toEqual(rgb);
});

test.each([
  [{ explain: 'map.jpg' }, /'map.jpg' is no PNG/],
  [{ explain: '', hide: 1 }, /a share of 1/],
  [{ explain: '', draws: 3 }, /3 is not a whole number from 20/],
])('%j is refused', (flags, message) => {
  const all = { hide: 0.2, draws: 40, seed: 0, ...flags };
  expect(() => checkExplain(all)).toThrow(message);
});

test('the flags are checked before a run is looked for', () =>
  expectMessage(
    'ort-answer',
    ['--image', image, '--question', 'why?', '--explain', 'map.jpg'],
    /'map.jpg' is no PNG/,
  ));
