import { expect, test } from 'vitest';
import { augment } from '../../../datasets/images/augment.js';
import { normalisations, toPixelValues } from '../../../datasets/images/normalise.js';

const planes = Uint8Array.of(0, 255, 128, 51, 255, 0); // [3, 1, 2]

// (byte / 255 − mean) / std in numpy's float32, the order of torchvision's ToTensor and Normalize.
test.each([
  ['imagenet', [-2.117904, 2.248908, 0.2051822, -1.142857, 2.64, -1.804444]],
  ['half', [-1, 1, 0.003921628, -0.6, 1, -1]],
  ['clip', [-1.792263, 1.930336, 0.1688973, -0.986701, 2.145897, -1.48022]],
  ['reference', [0, 0.0039215686, 0.0019684736, 0.0007843137, 0.0039215686, 0]],
] as const)('%s', (name, expected) => {
  const values = toPixelValues(planes, 1, 2, normalisations[name]);
  expect(values).toBeInstanceOf(Float32Array);
  for (const [i, value] of values.entries()) expect(value).toBeCloseTo(expected[i]!, 5);
});

test('a wrong size is not read past its end', () => {
  expect(() => toPixelValues(planes, 2, 2, normalisations.clip)).toThrow('6 bytes are not 3 x 2 x 2');
});

const height = 9;
const width = 7;
const image = Uint8Array.from({ length: 3 * height * width }, (_, i) => (i * 37) % 200);
const still = { shift: 0, brightness: 0 };

test('without shift and brightness nothing changes', () => {
  expect(augment(image, height, width, still, 1, 2, 'a')).toEqual(image);
});

test('the draw depends on seed, epoch and image alone, and differs between them', () => {
  const both = { shift: 3, brightness: 0.2 };
  const draw = (...words: (string | number)[]) => augment(image, height, width, both, ...words);
  expect(draw(0, 1, 'a')).toEqual(draw(0, 1, 'a'));
  const epochs = Array.from({ length: 20 }, (_, epoch) => draw(0, epoch, 'a').join());
  expect(new Set(epochs).size).toBeGreaterThan(15);
  expect(draw(0, 1, 'a')).not.toEqual(draw(0, 1, 'b'));
});

test('a shift moves every pixel by the same few steps and repeats the edge', () => {
  const seen = new Set<string>();
  for (let epoch = 0; epoch < 200; epoch++) {
    const moved = augment(image, height, width, { shift: 1, brightness: 0 }, 0, epoch, 'a');
    const found = [-1, 0, 1]
      .flatMap((down) => [-1, 0, 1].map((right) => [down, right] as const))
      .filter(([down, right]) => moved.every((byte, i) => byte === shiftedAt(i, down, right)));
    expect(found).toHaveLength(1);
    seen.add(found.join());
  }
  expect(seen.size).toBe(9); // all 3 x 3 shifts occur
});

/** The byte that lands at flat index i after a shift, by the definition of edge replication. */
function shiftedAt(i: number, down: number, right: number): number {
  const x = Math.max(0, Math.min(width - 1, (i % width) - right));
  const y = Math.max(0, Math.min(height - 1, (Math.floor(i / width) % height) - down));
  return image[Math.floor(i / (width * height)) * width * height + y * width + x]!;
}

test('brightness stays within its bounds and clips at white', () => {
  const flat = new Uint8Array(12).fill(100);
  const values = Array.from(
    { length: 200 },
    (_, epoch) => augment(flat, 2, 2, { shift: 0, brightness: 0.2 }, 0, epoch, 'a')[0]!,
  );
  expect(Math.min(...values)).toBeGreaterThanOrEqual(80);
  expect(Math.min(...values)).toBeLessThan(85);
  expect(Math.max(...values)).toBeLessThanOrEqual(120);
  expect(Math.max(...values)).toBeGreaterThan(115);
  const white = new Uint8Array(12).fill(250);
  for (let epoch = 0; epoch < 50; epoch++) {
    expect(augment(white, 2, 2, { shift: 0, brightness: 0.2 }, 0, epoch, 'a')[0]).toBeGreaterThanOrEqual(200);
  }
});
