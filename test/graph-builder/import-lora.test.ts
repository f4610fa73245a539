/** @file LoRA in models exported from PyTorch: loss and adapter gradients as PEFT's. */
import { describe, expect, test } from 'vitest';
import { RewriteError, UserError } from '../../graph-builder/errors.js';
import { printGraph, verify } from '../../graph-builder/ir/graph.js';
import type { LoraSettings } from '../../graph-builder/rewrites/lora.js';
import { nameWeights } from '../../graph-builder/variant/anonymous-weights.js';
import { adaptImported, parseImported, trainingOf, withLoss } from '../../graph-builder/variant/imported.js';
import { type Feeds, float32, floats } from '../../runtime/core/session.js';
import { norm, readTensors } from '../support/golden.js';
import { type Form, goldenOf, openImported, readFixture } from '../support/imports.js';

/** Rank 2 and alpha 4, as the golden files have them. */
const options = { alpha: 4 };
const models: readonly Form[] = ['mlp', 'bert', 'vit', 'gpt', 'resnet'];

describe.each(models)('%s', (form) => {
  const { loss, ...stored } = readTensors(`imports/${form}-lora.safetensors`);
  const adapters: Feeds = Object.fromEntries(
    Object.entries(stored).filter(([name]) => !name.startsWith('grad.')),
  );
  const model = readFixture(form);
  const stems = new Set(Object.keys(adapters).map((name) => name.replace(/\.lora_[AB]\.weight$/, '')));
  const names = model.graph.parameters.map((p) => p.name);
  const sites = names.filter((name) => stems.has(name.replace(/\.?weight$/, ''))).join(',');

  test('loss and gradients of all adapters', async () => {
    const tuning = parseImported(model.graph, 'lora-r2', { ...options, sites });
    const graph = trainingOf(withLoss(adaptImported(model.graph, tuning), 'cross-entropy', 'logits'));
    expect(
      graph.parameters
        .filter((p) => p.trainable)
        .map((p) => p.name)
        .sort(),
    ).toEqual(Object.keys(adapters).sort());
    const session = await openImported(graph, model.inline);
    const { inputs, labels } = goldenOf(form);
    const results = await session.run({
      ...inputs,
      ...adapters,
      labels,
      loss_scale: float32(Float32Array.of(1), []),
    });
    expect(Math.abs(floats(results.loss)[0]! - floats(loss)[0]!)).toBeLessThan(1e-4);
    const gradients = Object.keys(adapters).map((name) => floats(stored[`grad.${name}`]));
    const total = norm(gradients.map(norm));
    Object.keys(adapters).forEach((name, i) => {
      const ours = floats(results[`${name}.grad`]);
      const difference = norm(gradients[i]!.map((v, k) => v - ours[k]!));
      expect(difference, name).toBeLessThanOrEqual(1e-4 * norm(gradients[i]!) + 1e-6 * total);
    });
    await session.release();
  });
});

describe('(IA)3 and full in a foreign model', () => {
  const { graph, inline } = readFixture('mlp');
  const { inputs, labels } = goldenOf('mlp');

  test('vectors of ones change nothing, others scale', async () => {
    const tuning = parseImported(graph, 'ia3', { sites: '0.weight,2.weight' });
    const adapted = withLoss(adaptImported(graph, tuning), 'cross-entropy');
    const session = await openImported(adapted, inline);
    const vectors = (value: number): Feeds =>
      Object.fromEntries(
        adapted.parameters
          .filter((p) => p.trainable)
          .map(({ name, shape }) => {
            const dims = shape as readonly number[];
            return [name, float32(new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(value), dims)];
          }),
      );
    const loss = async (value: number) =>
      floats((await session.run({ ...inputs, labels, ...vectors(value) })).loss)[0]!;
    expect(await loss(1)).toBeCloseTo(floats(goldenOf('mlp').loss)[0]!, 5);
    expect(Math.abs((await loss(2)) - (await loss(1)))).toBeGreaterThan(1e-3);
    await session.release();
  });

  test('full trains every weight', () => {
    const adapted = adaptImported(graph, parseImported(graph, 'full', {}));
    expect(adapted.parameters.every((p) => p.trainable)).toBe(true);
  });
});

test('weights that the exporter renamed get their names back from the bias beside them', () => {
  const { graph } = readFixture('bert');
  const { graph: named, renamed } = nameWeights(graph);
  expect(renamed.get('val_70')).toBe('bert.encoder.layer.0.attention.self.query.weight');
  expect(printGraph(verify(named))).not.toContain('val_70 ');
  const { sites } = parseImported(named, 'lora-r2', {
    sites: '**.self.{query,value}.weight',
  }) as LoraSettings;
  expect(sites).toHaveLength(4);
});

describe('what does not fit', () => {
  const { graph } = readFixture('bert');

  test.each<[string, () => unknown, typeof UserError, RegExp]>([
    [
      'no sites',
      () => parseImported(graph, 'lora-r2', {}),
      RewriteError,
      /no sites given\n.*--sites\n.*'\*\*' for all/,
    ],
    [
      'sites that match nothing',
      () => parseImported(graph, 'lora-r2', { sites: '*.qery' }),
      RewriteError,
      /matches no layer/,
    ],
    [
      'a preset of another model',
      () => parseImported(graph, 'lora-r2', { sites: 'paper' }),
      RewriteError,
      /matches no layer/,
    ],
    [
      'a prefix',
      () => parseImported(graph, 'prefix-n2', { sites: '**' }),
      RewriteError,
      /keys of a text module/,
    ],
    [
      'an unknown variant',
      () => parseImported(graph, 'lore', { sites: '**' }),
      UserError,
      /unknown variant 'lore'/,
    ],
    [
      'dropout',
      () => parseImported(graph, 'lora-r2', { sites: '**', dropout: 0.1 }),
      UserError,
      /no dropout in imported models/,
    ],
    [
      'an output that it has not',
      () => withLoss(graph, 'mse', 'scores'),
      UserError,
      /no output 'scores'\n.*--output\n.*logits/,
    ],
  ])('%s', (_name, act, kind, message) => {
    expect(act).toThrow(kind);
    expect(act).toThrow(message);
  });
});
