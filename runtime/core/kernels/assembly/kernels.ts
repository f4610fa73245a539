/**
 * @file The passes over trained tensors, four numbers at a time. AssemblyScript: `npm run make:kernels` compiles it.
 *
 * Counts are rounded up to whole vectors by the caller, so the last numbers take the same operations as all others and
 * results do not depend on how a tensor is cut into chunks. Addresses are bytes in the imported memory.
 */

/** Numbers are computed at 2^32 times their size: what counts on the way to them is never denormal. */
const UP: f32 = 4294967296.0;
const DOWN: f32 = 1.0 / 4294967296.0;
/** 2^-126, the smallest normal number */
const TINY: f32 = 1.1754943508222875e-38;
/** 2^-42: smaller ones, at 2^32 times their size, change no second moment; their squares would be denormal */
const SMALLEST: f32 = 2.2737367544323206e-13;

/** 0 in place of what is nearer to it than `limit`; what is not a number stays. */
function flush(x: v128, signless: v128, limit: v128): v128 {
  return v128.andnot(x, f32x4.lt(v128.and(x, signless), limit));
}

/** m ← β₁m + (1−β₁)·scale·g, v ← β₂v + (1−β₂)·(scale·g)²; below 2^-126 they are 0. */
function moments(
  count: i32,
  gradient: usize,
  expAvg: usize,
  expAvgSq: usize,
  scale: f32,
  beta1: f32,
  rest1: f32,
  beta2: f32,
  rest2: f32,
): void {
  const s = f32x4.splat(scale * UP);
  const keepFirst = f32x4.splat(beta1 * UP);
  const addFirst = f32x4.splat(rest1);
  const keepSecond = f32x4.splat(beta2 * UP);
  const addSecond = f32x4.splat(rest2 * DOWN); // its factor g² is 2^64 times as large
  const signless = i32x4.splat(0x7fffffff);
  const limit = f32x4.splat(TINY * UP);
  const smallest = f32x4.splat(SMALLEST);
  const down = f32x4.splat(DOWN);
  const end: usize = 4 * count;
  for (let i: usize = 0; i < end; i += 16) {
    const g = f32x4.mul(v128.load(gradient + i), s);
    const size = f32x4.pmax(v128.and(g, signless), smallest);
    const m = f32x4.add(f32x4.mul(keepFirst, v128.load(expAvg + i)), f32x4.mul(addFirst, g));
    const v = f32x4.add(
      f32x4.mul(keepSecond, v128.load(expAvgSq + i)),
      f32x4.mul(f32x4.mul(addSecond, size), size),
    );
    v128.store(expAvg + i, f32x4.mul(flush(m, signless, limit), down));
    v128.store(expAvgSq + i, f32x4.mul(v128.andnot(v, f32x4.lt(v, limit)), down));
  }
}

/** p ← p − (decay·p + rate·m / (√v·unbias + ε)), rounded once at p's size; below 2^-126 it is 0. */
function step(
  count: i32,
  value: usize,
  expAvg: usize,
  expAvgSq: usize,
  decay: f32,
  rate: f32,
  unbias: f32,
  epsilon: f32,
): void {
  const d = f32x4.splat(decay);
  const r = f32x4.splat(rate * UP);
  const u = f32x4.splat(unbias);
  const e = f32x4.splat(epsilon);
  const signless = i32x4.splat(0x7fffffff);
  const limit = f32x4.splat(TINY * UP);
  const up = f32x4.splat(UP);
  const down = f32x4.splat(DOWN);
  const end: usize = 4 * count;
  for (let i: usize = 0; i < end; i += 16) {
    const divisor = f32x4.add(f32x4.mul(f32x4.sqrt(v128.load(expAvgSq + i)), u), e);
    const change = f32x4.div(f32x4.mul(r, v128.load(expAvg + i)), divisor);
    const p = f32x4.mul(v128.load(value + i), up);
    const next = f32x4.sub(p, f32x4.add(f32x4.mul(p, d), change));
    v128.store(value + i, f32x4.mul(flush(next, signless, limit), down));
  }
}

/** One update in two passes, the second one through the cache: together their constants exceed the registers. */
export function adamW(
  count: i32,
  gradient: usize,
  value: usize,
  expAvg: usize,
  expAvgSq: usize,
  scale: f32,
  beta1: f32,
  rest1: f32,
  beta2: f32,
  rest2: f32,
  decay: f32,
  rate: f32,
  unbias: f32,
  epsilon: f32,
): void {
  moments(count, gradient, expAvg, expAvgSq, scale, beta1, rest1, beta2, rest2);
  step(count, value, expAvg, expAvgSq, decay, rate, unbias, epsilon);
}

/** Sum of squares in float64: four pairs of sums do not wait for each other. `count` is a multiple of 8. */
export function sumOfSquares(count: i32, values: usize): f64 {
  let a = f64x2.splat(0);
  let b = f64x2.splat(0);
  let c = f64x2.splat(0);
  let d = f64x2.splat(0);
  const end: usize = values + 4 * count;
  for (let at: usize = values; at < end; at += 32) {
    const w = f64x2.promote_low_f32x4(v128.load64_zero(at));
    const x = f64x2.promote_low_f32x4(v128.load64_zero(at, 8));
    const y = f64x2.promote_low_f32x4(v128.load64_zero(at, 16));
    const z = f64x2.promote_low_f32x4(v128.load64_zero(at, 24));
    a = f64x2.add(a, f64x2.mul(w, w));
    b = f64x2.add(b, f64x2.mul(x, x));
    c = f64x2.add(c, f64x2.mul(y, y));
    d = f64x2.add(d, f64x2.mul(z, z));
  }
  const sum = f64x2.add(f64x2.add(a, b), f64x2.add(c, d));
  return f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
}

/** sum ← sum + part */
export function add(count: i32, sum: usize, part: usize): void {
  const end: usize = 4 * count;
  for (let i: usize = 0; i < end; i += 16) {
    v128.store(sum + i, f32x4.add(v128.load(sum + i), v128.load(part + i)));
  }
}
