/**
 * @file Products in float16: close to float32, trained weights untouched.
 *
 * The CPU provider has no float16 products: it computes them in float32 and drops casts that cancel out, so that only
 * the rounding of frozen weights shows here.
 */
import { describe, expect, test } from 'vitest';
import { prune, verify } from '../../graph-builder/ir/graph.js';
import { HALF_LOSS_SCALE, halfPrecision } from '../../graph-builder/rewrites/half-precision.js';
import { type Feeds, float32, floats } from '../../runtime/core/session.js';
import { cpuNodes } from '../../training-artifacts/devices/cuda-partition.js';
import { goldenConfig, goldenFeeds, norm, openGraph, readTensors } from '../support/golden.js';
import { gradientGraph } from '../support/models.js';
import { variantTensors } from '../support/variants.js';

const weights = readTensors('blip/weights.safetensors');

describe.each([
  ['lora-r4', 'P/P/P'],
  ['ia3', 'F/P/P'],
  ['prefix-n10', 'F/P/P'],
  ['full', 'T/T/T'],
])('%s at %s', (name, placement) => {
  const graph = prune(gradientGraph(goldenConfig, name, { placement }));
  const half = prune(verify(halfPrecision(graph, 'float16')));
  const feeds: Feeds = { ...weights, ...(name === 'full' ? {} : variantTensors(name)), ...goldenFeeds() };

  test('loss and gradients are those of float32 within the rounding of float16', async () => {
    const [single, other] = [await openGraph(graph), await openGraph(half)];
    const scaled = { ...feeds, loss_scale: float32(Float32Array.of(HALF_LOSS_SCALE), []) };
    const [expected, found] = [await single.run(scaled), await other.run(scaled)];
    const relative = (a: number, b: number) => Math.abs(a - b) / Math.abs(b);
    const loss = relative(floats(found.loss)[0]!, floats(expected.loss)[0]!);
    expect(loss).toBeLessThan(5e-3);
    const names = Object.keys(expected).filter((n) => n.endsWith('.grad'));
    const all = (r: typeof found) => names.flatMap((n) => Array.from(floats(r[n])));
    const [ours, theirs] = [all(found), all(expected)];
    const difference = norm(ours.map((v, i) => v - theirs[i]!));
    // a product of float16 numbers errs by 2⁻¹¹ a factor; through 4 layers and back
    expect(difference / norm(theirs)).toBeLessThan(3e-2);
    for (const session of [single, other]) await session.release();
  });

  test('every product is in float16, inputs and outputs are float32', () => {
    const products = half.nodes.filter((n) => ['Gemm', 'MatMul'].includes(n.op));
    expect(products.length).toBe(graph.nodes.filter((n) => ['Gemm', 'MatMul'].includes(n.op)).length);
    for (const n of products) expect(n.outputs[0]!.dtype).toBe('float16');
    for (const p of half.parameters) expect(p.dtype).toBe('float32');
    for (const v of Object.values(half.outputs)) expect(v.dtype).toBe('float32');
  });
});

test('bfloat16 has the same form, and the CPU refuses it by name', async () => {
  const graph = prune(gradientGraph(goldenConfig, 'lora-r4', { placement: 'F/P/P' }));
  const half = prune(verify(halfPrecision(graph, 'bfloat16')));
  const types = new Set(half.nodes.filter((n) => n.op === 'Gemm').map((n) => n.outputs[0]!.dtype));
  expect(types).toEqual(new Set(['bfloat16']));
  expect(cpuNodes(half)).toEqual([]); // CUDA has kernels for all of it
  await expect(openGraph(half)).rejects.toThrow(/Could not find an implementation/);
});

test('products as wide as a vocabulary stay float32', () => {
  const wide = { ...goldenConfig, vocab: 9000 };
  const half = halfPrecision(prune(gradientGraph(wide, 'full', {})), 'float16');
  const kept = half.nodes.filter((n) => n.op === 'Gemm' && n.outputs[0]!.dtype === 'float32');
  expect(kept.length).toBeGreaterThan(2);
  for (const n of kept) expect([...n.inputs, ...n.outputs].some((v) => v!.shape.includes(9000))).toBe(true);
});
