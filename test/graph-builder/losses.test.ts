/** @file Losses: their values and gradients in float64 arithmetic, with a batch axis of unknown length. */
import { describe, expect, test } from 'vitest';
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { GraphBuilder } from '../../graph-builder/ir/builder.js';
import { verify } from '../../graph-builder/ir/graph.js';
import type { Dim, Value } from '../../graph-builder/ir/types.js';
import { crossEntropy, meanSquaredError } from '../../graph-builder/nn/losses.js';
import { type Feeds, float32, floats, int32 } from '../../runtime/core/session.js';
import { seededNormal, sizeOf, withSession } from '../support/one-op.js';

/** loss and ∂loss/∂x of x, of a shape whose axes may be unknown */
async function run(shape: readonly Dim[], build: (g: GraphBuilder, x: Value) => Value, feeds: Feeds) {
  const g = new GraphBuilder();
  const x = g.input('x', 'float32', shape);
  const loss = build(g, x);
  const graph = verify(differentiate(g.finish({ loss }), { loss, wrt: [x] }));
  const results = await withSession(graph, (s) =>
    s.run({ ...feeds, loss_scale: float32(Float32Array.of(1), []) }),
  );
  return { loss: floats(results.loss)[0]!, gradient: [...floats(results['x.grad'])] };
}

const expectClose = (ours: readonly number[], expected: readonly number[]) =>
  ours.forEach((v, i) => {
    expect(v).toBeCloseTo(expected[i]!, 6);
  });

describe('cross-entropy', () => {
  const classes = 5;
  const labels = [4, -100, 0, 2, -100, 1];
  const logits = seededNormal(1)(6 * classes);
  /** softmax − one-hot of counted rows, over their number; and the mean of −log p */
  function reference(counted = labels.filter((l) => l >= 0).length) {
    const rows = labels.map((label, r) => {
      const row = [...logits.slice(r * classes, (r + 1) * classes)];
      const total = row.reduce((s, v) => s + Math.exp(v), 0);
      const p = row.map((v) => Math.exp(v) / total);
      return label < 0
        ? { loss: 0, gradient: p.map(() => 0) }
        : { loss: -Math.log(p[label]!), gradient: p.map((v, i) => (v - Number(i === label)) / counted) };
    });
    return {
      loss: rows.reduce((s, r) => s + r.loss, 0) / counted,
      gradient: rows.flatMap((r) => r.gradient),
    };
  }

  test.each<[readonly Dim[], readonly number[]]>([
    [
      ['batch', classes],
      [6, classes],
    ],
    [
      ['batch', 3, classes],
      [2, 3, classes],
    ],
    [
      ['batch', 'tokens', classes],
      [3, 2, classes],
    ],
    [
      [6, classes],
      [6, classes],
    ],
  ])('of logits [%s] counts the labels that are not ignored', async (shape, dims) => {
    const feeds = { x: float32(logits, dims), labels: int32(labels, dims.slice(0, -1)) };
    const ours = await run(
      shape,
      (g, x) => crossEntropy(g, x, g.input('labels', 'int32', shape.slice(0, -1))),
      feeds,
    );
    const expected = reference();
    expect(ours.loss).toBeCloseTo(expected.loss, 6);
    expectClose(ours.gradient, expected.gradient);
  });

  test('of logits far from 0 does not overflow', async () => {
    const x = float32(Float32Array.of(1000, 0, -1000, 0), [2, 2]);
    const feeds = { x, labels: int32([1, 1], [2]) };
    const ours = await run([2, 2], (g, v) => crossEntropy(g, v, g.input('labels', 'int32', [2])), feeds);
    expect(ours.loss).toBe(500);
    expectClose(ours.gradient, [0.5, -0.5, 0, 0]);
  });
});

test.each<[readonly Dim[]]>([[['batch', 3]], [[4, 3]]])('mean squared error of [%s]', async (shape) => {
  const dims = [4, 3];
  const [x, target] = [seededNormal(2)(sizeOf(dims)), seededNormal(3)(sizeOf(dims))];
  const feeds = { x: float32(x, dims), target: float32(target, dims) };
  const ours = await run(shape, (g, v) => meanSquaredError(g, v, g.input('target', 'float32', shape)), feeds);
  const differences = [...x].map((v, i) => v - target[i]!);
  expect(ours.loss).toBeCloseTo(differences.reduce((s, d) => s + d * d, 0) / 12, 6);
  expectClose(
    ours.gradient,
    differences.map((d) => (2 * d) / 12),
  );
});
