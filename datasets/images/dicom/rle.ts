/** @file DICOM's run-length encoding. Source: PS3.5, Annex G. */

const HEADER = 64;
const MOST_SEGMENTS = 15;

/** One segment unpacked (PackBits). @returns false when it has other bytes than `target` takes */
function unpackSegment(bytes: Uint8Array, from: number, to: number, target: Uint8Array): boolean {
  let out = 0;
  let at = from;
  while (out < target.length && at < to) {
    const n = bytes[at++]!;
    if (n === 128) continue; // no operation
    const length = n < 128 ? n + 1 : 257 - n;
    if (out + length > target.length) return false;
    if (n < 128) {
      if (at + length > to) return false;
      target.set(bytes.subarray(at, at + length), out);
      at += length;
    } else {
      if (at >= to) return false;
      target.fill(bytes[at++]!, out, out + length);
    }
    out += length;
  }
  // a segment is filled up to an even length
  return out === target.length && (to - at < 2 || bytes.subarray(at, to).every((byte) => byte === 0));
}

/**
 * A frame unpacked: little-endian samples, one colour plane after the other.
 *
 * A segment holds one byte of all samples of a plane, the most significant one first.
 * @returns undefined when the data do not make `pixels` x `samples` x `bytesEach`
 */
export function decodeRle(
  bytes: Uint8Array,
  pixels: number,
  samples: number,
  bytesEach: number,
): Uint8Array | undefined {
  const segments = samples * bytesEach;
  if (bytes.length < HEADER || segments > MOST_SEGMENTS) return undefined;
  const header = new DataView(bytes.buffer, bytes.byteOffset, HEADER);
  if (header.getUint32(0, true) !== segments) return undefined;
  const starts = Array.from({ length: segments }, (_, s) => header.getUint32(4 * (s + 1), true));
  const data = new Uint8Array(pixels * segments);
  const plane = new Uint8Array(pixels);
  for (const [s, start] of starts.entries()) {
    const end = starts[s + 1] ?? bytes.length;
    if (start < HEADER || end < start || end > bytes.length) return undefined;
    if (!unpackSegment(bytes, start, end, plane)) return undefined;
    const sample = Math.floor(s / bytesEach);
    const byte = bytesEach - 1 - (s % bytesEach);
    for (let i = 0, to = sample * pixels * bytesEach + byte; i < pixels; i++, to += bytesEach)
      data[to] = plane[i]!;
  }
  return data;
}
