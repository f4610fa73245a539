/** @file Random changes of images: what they do, and that names alone decide them. */
import { describe, expect, test } from 'vitest';
import { type Augmentation, augment } from '../../../datasets/images/augment.js';
import { uniform } from '../../../datasets/random.js';

const [HEIGHT, WIDTH] = [40, 32];
const none: Augmentation = { shift: 0, brightness: 0 };
const noise = Uint8Array.from({ length: 3 * HEIGHT * WIDTH }, (_, i) => 256 * uniform('noise', i));

const changed = (planes: Uint8Array, change: Partial<Augmentation>, n = 0) =>
  augment(planes, HEIGHT, WIDTH, { ...none, ...change }, 0, 'augment', n, 'a.png');

/** A square of 255 whose centre is at (x, y), in all colours. */
function square(x: number, y: number, half = 3): Uint8Array {
  const planes = new Uint8Array(3 * HEIGHT * WIDTH);
  for (let c = 0; c < 3; c++)
    for (let dy = -half; dy <= half; dy++)
      planes.fill(
        255,
        (c * HEIGHT + y + dy) * WIDTH + x - half,
        (c * HEIGHT + y + dy) * WIDTH + x + half + 1,
      );
  return planes;
}

/** Weight, centre of gravity from the image's centre, and mean square distance to it, of the first colour. */
function moments(planes: Uint8Array) {
  let [mass, x, y, spread] = [0, 0, 0, 0];
  const at = (i: number) =>
    [(i % WIDTH) - (WIDTH - 1) / 2, Math.floor(i / WIDTH) - (HEIGHT - 1) / 2] as const;
  const first = planes.subarray(0, HEIGHT * WIDTH);
  first.forEach((value, i) => {
    mass += value;
    x += value * at(i)[0];
    y += value * at(i)[1];
  });
  [x, y] = [x / mass, y / mass];
  first.forEach((value, i) => {
    spread += (value * ((at(i)[0] - x) ** 2 + (at(i)[1] - y) ** 2)) / mass;
  });
  return { mass: mass / 255, x, y, spread };
}

test('nothing asked for: nothing changed', () => {
  expect(changed(noise, {})).toEqual(noise);
});

test('the words decide the draw; others give another one', () => {
  const all = { shift: 4, brightness: 0.3, rotate: 10, crop: 0.2, flip: true };
  expect(changed(noise, all)).toEqual(changed(noise.slice(), all));
  const different = new Set(Array.from({ length: 20 }, (_, n) => changed(noise, all, n).join()));
  expect(different.size).toBe(20);
});

test('new kinds of change leave the draw of the others as it was', () => {
  // an older checkpoint goes on with the same images
  const image = square(14, 20);
  for (let n = 0; n < 10; n++) {
    const moved = moments(changed(image, { shift: 5 }, n));
    const flipped = moments(changed(image, { shift: 5, flip: true }, n));
    expect(Math.abs(flipped.x)).toBeCloseTo(Math.abs(moved.x), 9);
    expect(flipped.y).toBeCloseTo(moved.y, 9);
  }
});

describe('rotation', () => {
  test.each(Array.from({ length: 12 }, (_, n) => n))(
    'draw %i keeps the distance to the centre, by up to 20 degrees',
    (n) => {
      const before = moments(square(22, 12));
      const after = moments(changed(square(22, 12), { rotate: 20 }, n));
      expect(Math.hypot(after.x, after.y)).toBeCloseTo(Math.hypot(before.x, before.y), 0);
      expect(after.mass / before.mass).toBeCloseTo(1, 1);
      const turned = Math.atan2(after.y, after.x) - Math.atan2(before.y, before.x);
      expect(Math.abs((turned * 180) / Math.PI)).toBeLessThanOrEqual(20.5);
    },
  );

  test('goes both ways, and far', () => {
    const angle = (n: number) => {
      const { x, y } = moments(changed(square(22, 12), { rotate: 20 }, n));
      return ((Math.atan2(y, x) - Math.atan2(-7.5, 6.5)) * 180) / Math.PI;
    };
    const angles = Array.from({ length: 60 }, (_, n) => angle(n));
    expect(Math.max(...angles)).toBeGreaterThan(12);
    expect(Math.min(...angles)).toBeLessThan(-12);
  });
});

test('a cut of up to 0.3 enlarges what is left, and never shows what lies beyond the image', () => {
  const before = moments(square(16, 20));
  const sizes = Array.from(
    { length: 30 },
    (_, n) => moments(changed(square(16, 20), { crop: 0.3 }, n)).spread,
  );
  for (const spread of sizes) {
    // lengths grow by 1 / (1 - cut), squares of them by its square
    expect(spread).toBeGreaterThan(0.95 * before.spread);
    expect(spread).toBeLessThan((1.05 * before.spread) / 0.7 ** 2);
  }
  expect(Math.max(...sizes)).toBeGreaterThan(1.4 * before.spread);
  const ramp = Uint8Array.from({ length: 3 * HEIGHT * WIDTH }, (_, i) => 4 * (i % WIDTH));
  for (let n = 0; n < 30; n++) {
    const row = changed(ramp, { crop: 0.3 }, n).subarray(0, WIDTH);
    // strictly growing: no edge is repeated
    for (let x = 1; x < WIDTH; x++) expect(row[x]).toBeGreaterThan(row[x - 1]!);
  }
});

test('mirroring: half of the images, exactly', () => {
  const mirrored = noise.map((_, i) => noise[i - (i % WIDTH) + WIDTH - 1 - (i % WIDTH)]!);
  const kinds = Array.from({ length: 400 }, (_, n) => {
    const image = changed(noise, { flip: true }, n);
    if (image.every((byte, i) => byte === noise[i])) return 'same';
    return image.every((byte, i) => byte === mirrored[i]) ? 'mirrored' : 'other';
  });
  const count = (kind: string) => kinds.filter((k) => k === kind).length;
  expect(count('other')).toBe(0);
  expect(Math.abs(count('mirrored') - 200)).toBeLessThan(35); // 3.5 standard deviations
});
