/** @file Initial values: their distributions, and what they depend on. */
import { expect, test } from 'vitest';
import type { Parameter } from '../../../graph-builder/ir/types.js';
import { initialValues } from '../../../training-artifacts/weights/initialise.js';

const parameter = (name: string, shape: number[], init: Parameter['init']): Parameter => ({
  kind: 'parameter',
  name,
  dtype: 'float32',
  shape,
  init,
  trainable: true,
});
const moments = (values: Float32Array) => {
  const mean = values.reduce((s, v) => s + v, 0) / values.length;
  return { mean, std: Math.sqrt(values.reduce((s, v) => s + (v - mean) ** 2, 0) / values.length) };
};

test('zeros and ones', () => {
  expect(initialValues(parameter('a', [2, 2], 'zeros'), 0)).toEqual(new Float32Array(4));
  expect(initialValues(parameter('a', [3], 'ones'), 0)).toEqual(Float32Array.of(1, 1, 1));
});

// as in the presets: matrices up and down, a table, tokens, the kernel of the patches
test.each([
  [[768, 768], 768],
  [[1536, 384], 384],
  [[384, 1536], 384],
  [[3001, 128], 128],
  [[1, 901, 128], 128],
  [[128, 3, 16, 16], 128],
])('normal %j: mean 0, deviation 0.02 at width 768 and 0.02·√(768/width) at others', (shape, width) => {
  const values = initialValues(parameter('w', shape, 'normal'), 0);
  const { mean, std } = moments(values);
  const n = values.length;
  const expected = 0.02 * Math.sqrt(768 / width);
  expect(Math.abs(mean)).toBeLessThan((4 * expected) / Math.sqrt(n));
  expect(Math.abs(std / expected - 1)).toBeLessThan(4 / Math.sqrt(2 * n));
});

test('normal: the tails of a normal distribution, neighbours uncorrelated', () => {
  const values = initialValues(parameter('w', [501, 401], 'normal'), 0);
  const { std } = moments(values);
  const n = values.length;
  const beyond = (z: number) => values.filter((v) => Math.abs(v) > std * z).length / n;
  expect(beyond(1)).toBeCloseTo(0.3173, 2);
  expect(beyond(2)).toBeCloseTo(0.0455, 2);
  expect(beyond(3)).toBeCloseTo(0.0027, 3);
  const neighbours = values.slice(1).reduce((s, v, i) => s + v * values[i]!, 0) / n / std ** 2;
  expect(Math.abs(neighbours)).toBeLessThan(4 / Math.sqrt(n));
});

test('kaimingUniform: uniform within 1/sqrt(fan in), as PEFT starts lora_A', () => {
  const values = initialValues(parameter('lora_A', [200, 64, 2, 2], 'kaimingUniform'), 0);
  const bound = 1 / Math.sqrt(256);
  expect(Math.max(...values)).toBeLessThanOrEqual(bound);
  expect(Math.max(...values)).toBeGreaterThan(0.99 * bound);
  expect(Math.min(...values)).toBeLessThan(-0.99 * bound);
  const { mean, std } = moments(values);
  expect(Math.abs(mean)).toBeLessThan(1e-3);
  expect(std / (bound / Math.sqrt(3))).toBeCloseTo(1, 2);
});

test.each(['normal', 'kaimingUniform'] as const)('%s is a function of seed and name', (init) => {
  const of = (name: string, seed: number) => initialValues(parameter(name, [7, 5], init), seed);
  expect(of('a', 0)).toEqual(of('a', 0));
  expect(of('a', 0)).not.toEqual(of('a', 1));
  expect(of('a', 0)).not.toEqual(of('b', 0));
});
