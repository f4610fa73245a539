/** @file float16 ↔ float32. */

const scratch = new Float32Array(1);
const bits = new Uint32Array(scratch.buffer);

function halfToFloat(h: number): number {
  const sign = h & 0x8000 ? -1 : 1;
  const exponent = (h >> 10) & 0x1f;
  const fraction = h & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Every float16 number once: a lookup is faster than the arithmetic. */
let table: Float32Array | undefined;

/** Exact: each float16 number is a float32 number. */
export function fromHalf(half: Uint16Array): Float32Array {
  table ??= Float32Array.from({ length: 65536 }, (_, h) => halfToFloat(h));
  const values = new Float32Array(half.length);
  for (let i = 0; i < half.length; i++) values[i] = table[half[i]!]!;
  return values;
}

/** Rounds to nearest, ties to even. Numbers beyond 65504 become infinite. */
export function toHalf(values: Float32Array): Uint16Array {
  const half = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    scratch[0] = values[i]!;
    half[i] = roundToHalf(bits[0]!);
  }
  return half;
}

function roundToHalf(x: number): number {
  const sign = (x >>> 16) & 0x8000;
  const magnitude = x & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // not a number
  if (magnitude >= 0x47800000) return sign | 0x7c00; // 65536 and above
  const exponent = (magnitude >>> 23) - 112;
  // below 2^-14 the result is denormal: fewer fraction bits are kept
  const shift = exponent > 0 ? 13 : 14 - exponent;
  if (shift > 25) return sign;
  const fraction = exponent > 0 ? magnitude - (112 << 23) : (magnitude & 0x7fffff) | 0x800000;
  const kept = fraction >>> shift;
  const rest = fraction & ((1 << shift) - 1);
  const halfway = 1 << (shift - 1);
  const up = rest > halfway || (rest === halfway && (kept & 1) === 1) ? 1 : 0;
  return sign | (kept + up); // a carry into the exponent is right, up to infinity
}
