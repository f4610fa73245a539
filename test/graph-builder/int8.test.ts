/** @file Products in 8 bits: NumPy's numbers, float32's within the rounding's own size, and nothing else touched. */

import { describe, expect, test } from 'vitest';
import { GraphBuilder } from '../../graph-builder/ir/builder.js';
import { prune, verify } from '../../graph-builder/ir/graph.js';
import type { Graph, Value } from '../../graph-builder/ir/types.js';
import { answerDecoderGraph, lossGraph } from '../../graph-builder/models/miss.js';
import { int8Products, int8Sites } from '../../graph-builder/rewrites/int8.js';
import { int8Forms, quantise } from '../../graph-builder/rewrites/int8-weights.js';
import { recompute } from '../../graph-builder/rewrites/recompute.js';
import { rewriteNodes } from '../../graph-builder/rewrites/rewrite-nodes.js';
import { type Feeds, float32, floats } from '../../runtime/core/session.js';
import { matricesOf } from '../../training-artifacts/graphs/frozen-compute.js';
import {
  type LazyTensor,
  withSafetensors,
  writeSafetensors,
} from '../../training-artifacts/weights/safetensors-file.js';
import {
  goldenConfig,
  goldenFeeds,
  norm,
  openGraph,
  oracle,
  readTensors,
  weightsFile,
} from '../support/golden.js';
import { fileWithInt8, inInt8, weightsPathIn } from '../support/int8.js';
import { gradientGraph } from '../support/models.js';
import { seededNormal } from '../support/one-op.js';
import { variantTensors } from '../support/variants.js';

const error = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  norm(Array.from(a, (v, i) => v - b[i]!)) / norm(b);

const golden = readTensors('int8/products.safetensors');
const [out, inner] = golden.w!.dims as [number, number];
const number = (name: string): number => golden[name]!.data[0] as number;

const goldenBytes = (name: string): Uint8Array =>
  withSafetensors(oracle('int8/products.safetensors'), (file) => file.bytes(name));

/** y = x·Wᵀ and dx = dy·W. */
function products(): Graph {
  const g = new GraphBuilder();
  const w = g.parameter('w', [out, inner]);
  const [x, dy] = [g.input('x', 'float32', ['rows', inner]), g.input('dy', 'float32', ['rows', out])];
  return g.finish({ y: g.linear(x, w), dx: g.gemm(dy, w, { transA: 0, transB: 0 }) });
}

async function run(graph: Graph, file: string, feeds: Feeds) {
  const session = await openGraph(graph, file);
  const results = await session.run(feeds);
  await session.release();
  return results;
}

describe('against NumPy', () => {
  const matrix = { name: 'w', out, in: inner };
  const feeds = { x: golden.x!, dy: golden.dy! };

  test('codes and scales are the same, bit for bit', () => {
    const w = floats(golden.w) as Float32Array;
    const dynamic = quantise(matrix, w, 'dynamic');
    const codes = new Int8Array(dynamic.get('w.int8_rows')!);
    expect(Math.max(...codes.map(Math.abs))).toBe(64);
    const columns = new Int8Array(dynamic.get('w.int8')!);
    const scale = new Float32Array(new Uint8Array(dynamic.get('w.int8_scale')!).buffer);
    const blocks = quantise(matrix, w, 'weight-only');
    const signed = (name: string) => Array.from(new Int8Array(goldenBytes(name)));
    expect(Array.from(codes)).toEqual(signed('dynamic.codes'));
    expect(Array.from(columns, (_, i) => columns[(i % inner) * out + Math.floor(i / inner)])).toEqual(
      Array.from(codes),
    );
    expect(Array.from(scale)).toEqual(Array.from(floats(golden['dynamic.scale'])));
    expect(blocks.get('w.q8')).toEqual(goldenBytes('blocks.codes'));
    expect(blocks.get('w.q8_rows')).toEqual(goldenBytes('blocks.codes_rows'));
    expect(blocks.get('w.q8_scale')).toEqual(goldenBytes('blocks.scales'));
  });

  test.each(int8Forms)('%s products', async (form) => {
    const file = fileWithInt8(oracle('int8/products.safetensors'), products(), form);
    const { y, dx } = await run(inInt8(products(), form), file, feeds);
    const prefix = form === 'dynamic' ? 'dynamic' : 'blocks';
    // integers are exact; float32 sums of 64 numbers err by 1e-6
    expect(error(floats(y), floats(golden[`${prefix}.y`]))).toBeLessThan(2e-6);
    expect(error(floats(dx), floats(golden[`${prefix}.dx`]))).toBeLessThan(2e-6);
    expect(Array.from(floats(y).slice(0, out)).every((v) => v === 0)).toBe(true); // a row of zeros
  });

  test('the error is that of uniform rounding, not more', async () => {
    const file = fileWithInt8(oracle('int8/products.safetensors'), products(), 'dynamic');
    const { y, dx } = await run(inInt8(products(), 'dynamic'), file, feeds);
    for (const [ours, name] of [
      [y, 'y'],
      [dx, 'dx'],
    ] as const) {
      const ratio = error(floats(ours), floats(golden[name])) / number(`dynamic.bound_${name}`);
      expect(ratio, name).toBeGreaterThan(0.8);
      expect(ratio, name).toBeLessThan(1.2);
    }
  });

  test('an infinite number does not become a finite one', async () => {
    const file = fileWithInt8(oracle('int8/products.safetensors'), products(), 'dynamic');
    for (const bad of [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const x = Float32Array.from(floats(golden.x));
      x[inner + 3] = bad;
      const { y } = await run(inInt8(products(), 'dynamic'), file, {
        ...feeds,
        x: float32(x, golden.x!.dims),
      });
      expect(Array.from(floats(y).slice(out, 2 * out)).some(Number.isFinite), `${bad}`).toBe(false);
      expect(Array.from(floats(y).slice(2 * out)).every(Number.isFinite)).toBe(true);
    }
  });

  /** Puts another product in the place of each one of `direction`. */
  const mutated = (change: (g: GraphBuilder, inputs: readonly Value[], forward: boolean) => Value) => {
    const graph = inInt8(products(), 'dynamic');
    return verify(
      rewriteNodes(graph, (node, { g, original }) => {
        if (original.op !== 'MatMulIntegerToFloat') return undefined;
        const forward = original.inputs[1]!.name === 'w.int8';
        return [change(g, node.inputs as readonly Value[], forward)];
      }),
    );
  };
  const weightScale = (g: GraphBuilder): Value =>
    g.stored({
      kind: 'parameter',
      name: 'w.int8_scale',
      dtype: 'float32',
      shape: [out],
      trainable: false,
      init: 'checkpoint',
    });

  test.each([
    [
      'no scale of the weight',
      mutated((g, [a, b, one, , zero], forward) =>
        forward
          ? g.op('MatMulIntegerToFloat', [a!, b!, one!, one!, zero!], {})
          : g.op('MatMulIntegerToFloat', [a!, b!, one!, weightScale(g), zero!], {}),
      ),
    ],
    [
      'the other layout, so that scales stand at the wrong axis',
      mutated((g, [a, b, one, scale, zero], forward) => {
        const other = g.stored({
          ...(b as never as ReturnType<GraphBuilder['stored']>),
          name: forward ? 'w.int8_rows' : 'w.int8',
        });
        return g.op('MatMulIntegerToFloat', [a!, other, one!, scale!, zero!], {});
      }),
    ],
    [
      'another zero point',
      mutated((g, [a, b, one, scale]) =>
        g.op('MatMulIntegerToFloat', [a!, b!, one!, scale!, g.scalar(0, 'uint8')], {}),
      ),
    ],
  ])('mutant: %s is off by more than ten times the error', async (_, graph) => {
    const file = fileWithInt8(oracle('int8/products.safetensors'), products(), 'dynamic');
    const { y, dx } = await run(graph, file, feeds);
    expect(error(floats(y), floats(golden.y))).toBeGreaterThan(10 * number('dynamic.bound_y'));
    expect(error(floats(dx), floats(golden.dx))).toBeGreaterThan(10 * number('dynamic.bound_dx'));
  });
});

const base = lossGraph(goldenConfig);

/** The golden weights with independent errors in the products' matrices, ‖error‖ = share · ‖W‖. */
function noisyFile(share: number): string {
  const matrices = new Set(matricesOf(base).map(({ name }) => name));
  const path = weightsPathIn('noise');
  withSafetensors(weightsFile, (file) => {
    const noisy = (name: string, i: number): LazyTensor['bytes'] => {
      const values = new Float32Array(file.bytes(name).buffer);
      if (!matrices.has(name)) return () => new Uint8Array(values.buffer);
      const draws = seededNormal(i)(values.length);
      const size = (share * norm(values)) / norm(draws);
      return () => new Uint8Array(values.map((v, k) => v + size * draws[k]!).buffer);
    };
    const tensors = [...file.header.tensors].map(([name, { dtype, shape }], i): [string, LazyTensor] => [
      name,
      { dtype, shape, bytes: noisy(name, i) },
    ]);
    writeSafetensors(path, new Map(tensors));
  });
  return path;
}

describe.each([
  ['lora-r4', 'P/P/P'],
  ['lora-r4', 'T/P/P'],
  ['ia3', 'F/P/P'],
  ['prefix-n10', 'F/P/P'],
])('%s at %s', (name, placement) => {
  const graph = prune(gradientGraph(goldenConfig, name, { placement }));
  const feeds = { ...readTensors('blip/weights.safetensors'), ...variantTensors(name), ...goldenFeeds() };
  const frozen = [...int8Sites(graph).values()];

  // what a product errs by on this model's data; the golden weights are wide, so that softmax amplifies it
  test.each([
    ['dynamic', 0.02],
    ['weight-only', 0.006],
  ] as const)(
    '%s: loss and gradients move as far as weights that are off by %d a product move them',
    async (form, share) => {
      const expected = await run(graph, weightsFile, feeds);
      const found = await run(inInt8(graph, form), fileWithInt8(weightsFile, base, form), feeds);
      const disturbed = await run(graph, noisyFile(share), feeds);
      const names = Object.keys(expected).filter((n) => n.endsWith('.grad'));
      const all = (r: Feeds) => names.flatMap((n) => Array.from(floats(r[n])));
      const ratio = error(all(found), all(expected)) / error(all(disturbed), all(expected));
      expect(ratio).toBeGreaterThan(0.4);
      expect(ratio).toBeLessThan(2);
      const loss = (r: Feeds): number => floats(r.loss)[0]!;
      expect(Math.abs(loss(found) / loss(expected) - 1)).toBeLessThan(share);
    },
  );

  test('every frozen product is replaced, forward and backward; no trained one and no head is', () => {
    const int8 = inInt8(graph, 'dynamic');
    const count = (op: string) => int8.nodes.filter((n) => n.op === op).length;
    const gemms = graph.nodes.filter((n) => n.op === 'Gemm').length;
    expect(frozen.length).toBeGreaterThan(20);
    expect(frozen.some((s) => s.direction === 'backward')).toBe(true);
    expect(count('MatMulIntegerToFloat')).toBe(frozen.length);
    expect(count('Gemm')).toBe(gemms - frozen.length);
    const head = int8.nodes.filter((n) => n.inputs.some((v) => v?.name.includes('word_embeddings')));
    expect(head.filter((n) => n.op === 'Gemm').length).toBeGreaterThanOrEqual(2); // logits and their gradient
    expect(
      int8.parameters.filter((p) => /word_embeddings|predictions\.bias/.test(p.name)).map((p) => p.dtype),
    ).toEqual(
      int8.parameters.filter((p) => /word_embeddings|predictions\.bias/.test(p.name)).map(() => 'float32'),
    );
    expect(int8.parameters.filter((p) => p.trainable)).toEqual(graph.parameters.filter((p) => p.trainable));
    expect(Object.keys(int8.outputs)).toEqual(Object.keys(graph.outputs));
  });
});

test.each(['selective', 'blocks'] as const)(
  '%s rebuilt in the backward pass: the same bits',
  async (mode) => {
    const graph = prune(gradientGraph(goldenConfig, 'lora-r4', { placement: 'P/P/P' }));
    const feeds = { ...variantTensors('lora-r4'), ...goldenFeeds() };
    const file = fileWithInt8(weightsFile, base, 'dynamic');
    const kept = await run(inInt8(graph, 'dynamic'), file, feeds);
    const rebuilt = await run(inInt8(recompute(graph, mode), 'dynamic'), file, feeds);
    for (const [name, { data }] of Object.entries(kept)) expect(rebuilt[name]!.data, name).toEqual(data);
  },
);

test('only the weights that are asked for', () => {
  const graph = gradientGraph(goldenConfig, 'lora-r4', { placement: 'P/P/P' });
  const chosen = /^visual_encoder\.blocks\.1\./;
  const int8 = prune(int8Products(graph, { form: 'dynamic', includes: (w) => chosen.test(w) }));
  const stored = int8.parameters.filter((p) => p.dtype === 'int8');
  expect(stored.length).toBe(8); // four layers, two layouts
  for (const p of stored) expect(p.name).toMatch(chosen);
});

test('the head of the decoder that answers stays float32', () => {
  const int8 = inInt8(answerDecoderGraph(goldenConfig), 'dynamic');
  const wide = int8.nodes.filter((n) => n.outputs[0]!.shape.at(-1) === goldenConfig.vocab && n.op === 'Gemm');
  expect(wide.length).toBe(1);
});

test('weights without whole blocks keep their float32 product in the weight-only form', () => {
  const g = new GraphBuilder();
  const w = g.parameter('w', [64, 40]);
  const graph = g.finish({
    y: g.linear(g.input('x', 'float32', ['rows', 40]), w),
    dx: g.gemm(g.input('dy', 'float32', ['rows', 64]), w, { transA: 0, transB: 0 }),
  });
  expect(inInt8(graph, 'weight-only').nodes.map((n) => n.op)).toEqual(['Gemm', 'MatMulNBits']);
});
