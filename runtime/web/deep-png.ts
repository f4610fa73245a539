/** @file Grey PNGs of 16 bits, which browsers cut to 8: medical ones often use 12 of their 16 bits. */
import { unzlibSync } from 'fflate';
import type { RgbImage } from '../../datasets/images/resize.js';
import { FileError } from '../../graph-builder/errors.js';

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const GREY = 0;
const GREY_ALPHA = 4;
/** Larger images are no radiographs but attacks on the memory. */
const MAX_PIXELS = 2 ** 28;

/** 8 bytes of signature, 8 of the first chunk's head, then width, height, depth, colour type. */
const isPng = (bytes: Uint8Array) => bytes.length > 33 && SIGNATURE.every((b, i) => bytes[i] === b);

export const isDeepGreyPng = (bytes: Uint8Array): boolean =>
  isPng(bytes) && bytes[24] === 16 && (bytes[25] === GREY || bytes[25] === GREY_ALPHA);

const damaged = (name: string, cause?: unknown) =>
  new FileError('the PNG is damaged or cut short', name, 'export the image again', { cause });

/** The compressed pixels: all IDAT chunks, one behind the other. */
function imageData(bytes: Uint8Array, name: string): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts: Uint8Array[] = [];
  for (let at = 8; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (at + 12 + length > bytes.length) throw damaged(name);
    if (type === 'IDAT') parts.push(bytes.subarray(at + 8, at + 8 + length));
    if (type === 'IEND') break;
    at += 12 + length;
  }
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** PNG's predictor of the three neighbours: that which is nearest to left + up − upLeft. */
function paeth(left: number, up: number, upLeft: number): number {
  const estimate = left + up - upLeft;
  const [a, b, c] = [Math.abs(estimate - left), Math.abs(estimate - up), Math.abs(estimate - upLeft)];
  return a <= b && a <= c ? left : b <= c ? up : upLeft;
}

/** Undoes the filter of each line in place; lines have a byte in front that names it. */
function unfilter(raw: Uint8Array, rowBytes: number, height: number, pixelBytes: number): void {
  const line = rowBytes + 1;
  for (let y = 0; y < height; y++) {
    const start = y * line + 1;
    const filter = raw[start - 1]!;
    for (let x = 0; x < rowBytes; x++) {
      const left = x >= pixelBytes ? raw[start + x - pixelBytes]! : 0;
      const up = y > 0 ? raw[start + x - line]! : 0;
      const upLeft = y > 0 && x >= pixelBytes ? raw[start + x - line - pixelBytes]! : 0;
      const guess = [0, left, up, (left + up) >> 1, filter === 4 ? paeth(left, up, upLeft) : 0][filter] ?? 0;
      raw[start + x]! += guess;
    }
  }
}

/**
 * Stretches the darkest value to 0 and the brightest to 255, as Node's decoder does; transparency lies on black.
 *
 * Source: PNG specification, 2nd edition, sections 7 to 9.
 * @throws {FileError} when the file is cut short or interlaced.
 */
export function decodeDeepGreyPng(bytes: Uint8Array, name: string): RgbImage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  if (bytes[28] !== 0)
    throw new FileError(
      'interlaced PNGs of 16 bits are not supported',
      name,
      'save the image without interlacing',
    );
  if (width * height > MAX_PIXELS) throw new FileError('the image is too large', name, 'give a smaller one');
  const pixelBytes = bytes[25] === GREY ? 2 : 4;
  const rowBytes = width * pixelBytes;
  const raw = new Uint8Array((rowBytes + 1) * height);
  try {
    const inflated = unzlibSync(imageData(bytes, name), { out: raw });
    if (inflated.length !== raw.length) throw damaged(name);
  } catch (error) {
    throw error instanceof FileError ? error : damaged(name, error);
  }
  unfilter(raw, rowBytes, height, pixelBytes);
  const grey = new Uint16Array(width * height);
  for (let i = 0; i < grey.length; i++) {
    const at = Math.floor(i / width) * (rowBytes + 1) + 1 + (i % width) * pixelBytes;
    const value = (raw[at]! << 8) | raw[at + 1]!;
    const alpha = pixelBytes === 4 ? ((raw[at + 2]! << 8) | raw[at + 3]!) / 65535 : 1;
    grey[i] = Math.round(value * alpha);
  }
  return { data: stretched(grey), width, height };
}

function stretched(values: Uint16Array): Uint8Array {
  let [low, high] = [65535, 0];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  // a blank image has no range to stretch
  const factor = high > low ? 255 / (high - low) : 0;
  const rgb = new Uint8Array(3 * values.length);
  for (let i = 0; i < values.length; i++) rgb.fill(Math.round((values[i]! - low) * factor), 3 * i, 3 * i + 3);
  return rgb;
}
