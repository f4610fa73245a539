/** @file Models exported from PyTorch: they are read, answer and differentiate as in PyTorch. */
import { describe, expect, test } from 'vitest';
import { printGraph, verify } from '../../graph-builder/ir/graph.js';
import { readOnnx } from '../../graph-builder/onnx/read.js';
import { writeOnnx } from '../../graph-builder/onnx/write.js';
import { type Feeds, float32, floats, type Tensor } from '../../runtime/core/session.js';
import { maxDifference, norm } from '../support/golden.js';
import {
  fixtureBytes,
  forms,
  goldenOf,
  openImported,
  readFixture,
  rowsOf,
  trainingGraphOf,
  weightFeeds,
} from '../support/imports.js';

const TOLERANCE = 1e-4;
const loss_scale = float32(Float32Array.of(1), []);

const firstRows = (feeds: Feeds, count: number): Feeds =>
  Object.fromEntries(Object.entries(feeds).map(([name, t]) => [name, rowsOf(t, 0, count)]));

/** ‖ours − float64‖ ≤ 1e-4 ‖float64‖ + 1e-6 G, G the norm of all gradients. */
function expectGradients(ours: Readonly<Record<string, Tensor>>, golden: Feeds): void {
  const whole = norm(Object.values(golden).map((t) => norm(floats(t))));
  for (const [name, gradient] of Object.entries(golden)) {
    const expected = floats(gradient);
    const actual = floats(ours[`${name}.grad`]);
    expect(ours[`${name}.grad`]!.dims, name).toEqual(gradient.dims);
    const difference = norm(expected.map((v, i) => v - actual[i]!));
    expect(difference, name).toBeLessThanOrEqual(1e-4 * norm(expected) + 1e-6 * whole);
  }
}

describe.each(forms)('%s', (form) => {
  const model = readFixture(form);
  const golden = goldenOf(form);

  test('keeps the names of inputs, outputs and weights, and leaves no shape to run time', () => {
    expect(model.graph.inputs.map((v) => v.name)).toEqual(expect.arrayContaining(Object.keys(golden.inputs)));
    expect(Object.keys(model.graph.outputs)).toEqual(['logits']);
    expect(model.graph.parameters.map((p) => p.name).sort()).toEqual(Object.keys(golden.gradients).sort());
    expect([...model.inline.keys()]).toEqual(model.graph.parameters.map((p) => p.name));
    expect(model.graph.parameters.every((p) => !p.trainable)).toBe(true);
    const unknown = model.graph.nodes.flatMap((n) => n.inputs).filter((v) => v?.dtype === 'int64');
    expect(model.graph.outputs.logits!.shape[0]).toBe('batch');
    // what is left of int64 are token ids, masks and their indices: no operator makes a shape
    expect(new Set(unknown.map((v) => v!.shape.length)).has(0)).toBe(false);
  });

  test.each([3, 1])('answers as PyTorch, batch %i', async (batch) => {
    const session = await openImported(verify(model.graph), model.inline);
    const { logits } = await session.run(firstRows(golden.inputs, batch));
    const expected = rowsOf(golden.logits, 0, batch);
    expect(logits!.dims).toEqual(expected.dims);
    expect(maxDifference(floats(logits), floats(expected))).toBeLessThan(TOLERANCE);
    await session.release();
  });

  test('loss and the gradient of every weight equal PyTorch in float64', async () => {
    const session = await openImported(trainingGraphOf(model.graph), new Map());
    const feeds = { ...golden.inputs, ...weightFeeds(model), labels: golden.labels, loss_scale };
    const results = await session.run(feeds);
    expect(maxDifference(floats(results.loss), floats(golden.loss))).toBeLessThan(TOLERANCE);
    expectGradients(results, golden.gradients);
    await session.release();
  });

  test('is a file of ours once it is written: read and written again, it stays as it is', () => {
    const weights = () => ({ location: 'weights.bin', offset: 0, length: 4 });
    const written = writeOnnx(model.graph, { name: 'test', weights });
    const { graph: back } = readOnnx(written, 'again.onnx');
    expect(back.parameters.map((p) => p.name)).toEqual(model.graph.parameters.map((p) => p.name));
    expect(verify(back).nodes.map((n) => n.op)).toEqual(model.graph.nodes.map((n) => n.op));
    const again = readOnnx(writeOnnx(back, { name: 'test', weights }), 'again.onnx').graph;
    expect(printGraph(again)).toBe(printGraph(back));
  });
});

test('gradients of a batch are the mean of those of its samples', async () => {
  const model = readFixture('bert');
  const { inputs, labels } = goldenOf('bert');
  const session = await openImported(trainingGraphOf(model.graph), new Map());
  const at = (from: number, to: number) => {
    const rows = Object.fromEntries(
      Object.entries({ ...inputs, labels }).map(([n, t]) => [n, rowsOf(t, from, to)]),
    );
    return session.run({ ...rows, ...weightFeeds(model), loss_scale });
  };
  const [both, first, second] = [await at(0, 2), await at(0, 1), await at(1, 2)];
  const mean = Object.fromEntries(
    model.graph.parameters.map(({ name }) => {
      const [a, b] = [floats(first[`${name}.grad`]), floats(second[`${name}.grad`])];
      return [
        name,
        float32(
          a.map((v, i) => (v + b[i]!) / 2),
          both[`${name}.grad`]!.dims,
        ),
      ];
    }),
  );
  expectGradients(both, mean);
  await session.release();
});

test('weights in the file are constants without inlineWeights', () => {
  const { graph, inline } = readOnnx(fixtureBytes('mlp'), 'mlp.onnx');
  expect([graph.parameters, [...inline]]).toEqual([[], []]);
  expect(graph.constants.map((c) => c.name)).toContain('0.weight');
  expect(printGraph(graph)).toContain('Gemm(x, 0.weight, 0.bias)');
});

test('both exporters give one function', () => {
  expect(floats(goldenOf('bert').loss)[0]).toBeCloseTo(floats(goldenOf('bert-torchscript').loss)[0]!, 5);
  expect(floats(goldenOf('mlp').loss)[0]).toBeCloseTo(floats(goldenOf('mlp-torchscript').loss)[0]!, 5);
});
