/** @file Grey PNGs of 16 bits against sharp's decoder. */
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { decodeImage } from '../../../runtime/node/decode-image.js';
import { decodeDeepGreyPng, isDeepGreyPng } from '../../../runtime/web/deep-png.js';

const [width, height] = [37, 23];
/** smooth in parts, so that the encoder uses all filters */
const values = Uint16Array.from({ length: width * height }, (_, i) =>
  i % 5 === 0 ? (i * 7919) % 4096 : 1000 + 3 * (i % width) + 40 * Math.floor(i / width),
);
const raw = { width, height, channels: 1, premultiplied: false } as const;
const png = (options: object) =>
  sharp(Buffer.from(values.buffer), { raw }).toColourspace('grey16').png(options).toBuffer();

test.each([{ adaptiveFiltering: true }, { adaptiveFiltering: false, compressionLevel: 0 }])(
  'pixels are those of sharp: %j',
  async (options) => {
    const bytes = new Uint8Array(await png(options));
    expect(isDeepGreyPng(bytes)).toBe(true);
    const expected = await decodeImage(bytes);
    const found = decodeDeepGreyPng(bytes, 'test.png');
    expect([found.width, found.height]).toEqual([width, height]);
    expect([...found.data]).toEqual([...expected.data]);
  },
);

test('others are left to the browser', async () => {
  const colour = await sharp({ create: { width: 4, height: 4, channels: 3, background: '#123' } })
    .png()
    .toBuffer();
  expect(isDeepGreyPng(colour)).toBe(false);
  expect(isDeepGreyPng(new Uint8Array(10))).toBe(false);
});

test('a file that is cut anywhere is refused, never half decoded', async () => {
  const bytes = new Uint8Array(await png({}));
  for (let length = 34; length < bytes.length - 16; length += 13)
    expect(() => decodeDeepGreyPng(bytes.subarray(0, length), 'cut.png'), `${length}`).toThrow(
      /damaged or cut short/,
    );
});

test('interlaced ones are refused', async () => {
  const bytes = new Uint8Array(await png({ progressive: true }));
  expect(() => decodeDeepGreyPng(bytes, 'scan.png')).toThrow(/interlaced.*to do: save/s);
});
