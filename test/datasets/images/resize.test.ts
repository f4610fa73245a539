import { expect, test } from 'vitest';
import { resizeImage, toPlanes } from '../../../datasets/images/resize.js';
import { readGolden } from '../read-golden.js';

interface Golden {
  width: number;
  height: number;
  data: string;
  newWidth: number;
  newHeight: number;
  resized: string;
}
// Made by make-resize-golden.py with Pillow.
const golden = readGolden<Golden[]>('resize.golden.json', import.meta.url);
const bytes = (text: string) => new Uint8Array(Buffer.from(text, 'base64'));

test.each(golden)('$width x $height to $newWidth x $newHeight equals Pillow, bit for bit', (g) => {
  const resized = resizeImage(
    { data: bytes(g.data), width: g.width, height: g.height },
    g.newHeight,
    g.newWidth,
  );
  expect(resized).toEqual({ data: bytes(g.resized), width: g.newWidth, height: g.newHeight });
});

test('the same size changes nothing', () => {
  const { data, width, height } = golden[0]!;
  expect(resizeImage({ data: bytes(data), width, height }, height, width).data).toEqual(bytes(data));
});

test('planes hold red, then green, then blue', () => {
  const data = Uint8Array.of(1, 2, 3, 4, 5, 6);
  expect([...toPlanes({ data, width: 2, height: 1 })]).toEqual([1, 4, 2, 5, 3, 6]);
});
