/** @file Names and order in the official models, and the folder that is written. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import onnxProto, { type onnx } from 'onnx-proto';
import { expect, test } from 'vitest';
import { UserError } from '../../../graph-builder/errors.js';
import { adamWDefaults } from '../../../runtime/core/adamw.js';
import { floats } from '../../../runtime/core/session.js';
import { openSession } from '../../../runtime/node/ort.js';
import { gradientsOf } from '../../../training-artifacts/ort-training/graphs.js';
import { optimizerDefaults } from '../../../training-artifacts/ort-training/models.js';
import { readOrtCheckpoint } from '../../../training-artifacts/ort-training/read-checkpoint.js';
import { writeOrtTraining } from '../../../training-artifacts/ort-training/write.js';
import { withSafetensors } from '../../../training-artifacts/weights/safetensors-file.js';
import {
  caseBatches,
  caseTensors,
  forwardOf,
  ortCases,
  writeCase,
} from '../../oracles/ort_training/cases.js';
import { goldenConfig, goldenFeeds, openGraph, readTensors, weightsFile } from '../../support/golden.js';
import { gradientGraph } from '../../support/models.js';
import { temporaryFolder } from './support.js';

const folder = temporaryFolder();
const which = ortCases.find((c) => c.variant === 'ia3' && c.placement === 'T/T/P')!;
const forward = forwardOf(which);
writeCase(folder, which, caseBatches(2));
const modelOf = (file: string) => onnxProto.onnx.ModelProto.decode(readFileSync(join(folder, file)));
const names = (values: readonly onnx.IValueInfoProto[] | null | undefined) => values!.map((v) => v.name);
const [trained, frozen] = [true, false].map((t) =>
  forward.parameters.filter((p) => p.trainable === t).map((p) => p.name),
) as [string[], string[]];
/** What people feed: no loss scale, no seeds. */
const userInputs = [
  'pixel_values',
  ...['shape', 'ids', 'position_ids', 'mask'].map((n) => `question_${n}`),
  'image_selection',
  ...['shape', 'ids', 'position_ids', 'mask'].map((n) => `answer_${n}`),
  'label_positions',
  'labels',
  'label_weights',
];

test('the folder', () => {
  expect(readdirSync(folder).sort()).toEqual([
    'batches.safetensors',
    'checkpoint',
    'eval_model.onnx',
    'optimizer_model.onnx',
    'train.py',
    'training_model.onnx',
  ]);
});

test("training model: the user's inputs, parameters, buffers, the flag; the loss first", () => {
  const { graph } = modelOf('training_model.onnx');
  expect(names(graph!.input)).toEqual([
    ...userInputs,
    ...forward.parameters.map((p) => p.name),
    ...trained.map((n) => `${n}_grad.accumulation.buffer`),
    'lazy_reset_grad',
  ]);
  expect(names(graph!.output)).toEqual(['loss', ...trained.map((n) => `${n}_grad.accumulation.out`)]);
  expect(graph!.initializer!.filter((t) => forward.parameters.some((p) => p.name === t.name))).toEqual([]);
  const accumulators = graph!.node!.filter((n) => n.opType === 'InPlaceAccumulatorV2');
  expect(accumulators.map((n) => n.input)).toEqual(
    trained.map((n) => [`${n}_grad.accumulation.buffer`, `${n}_grad`, 'lazy_reset_grad']),
  );
  expect(new Set(graph!.node!.map((n) => n.name)).size).toBe(graph!.node!.length);
});

test('evaluation model: the same inputs without the buffers; its metadata say what is trained', () => {
  const model = modelOf('eval_model.onnx');
  expect(names(model.graph!.input)).toEqual([...userInputs, ...forward.parameters.map((p) => p.name)]);
  expect(names(model.graph!.output)).toEqual(['loss']);
  const metadata = Object.fromEntries(
    model.metadataProps!.map(({ key, value }) => [key, JSON.parse(value!)]),
  );
  expect(metadata).toEqual({ trainable: trained, frozen });
  expect(frozen.length).toBeGreaterThan(0);
});

test('optimizer model: the order that the runtime checks', () => {
  const { graph } = modelOf('optimizer_model.onnx');
  const inputs = [
    'learning_rate',
    'step',
    'params',
    'gradients',
    'first_order_moments',
    'second_order_moments',
  ];
  expect(names(graph!.input)).toEqual(inputs);
  const [node] = graph!.node!;
  expect(node!.input).toEqual(inputs);
  const attributes = Object.fromEntries(node!.attribute!.map(({ name, f, i }) => [name, f || Number(i)]));
  expect(attributes).toEqual({
    alpha: Math.fround(0.9),
    beta: Math.fround(0.999),
    epsilon: Math.fround(1e-8),
    weight_decay: Math.fround(0.05),
    correct_bias: 1,
    adam_mode: 0,
  });
});

test('the evaluation model gives the golden loss with weights as inputs', async () => {
  const session = await openSession(join(folder, 'eval_model.onnx'));
  const tensors = [...caseTensors(forward, which)].map(
    ([name, { shape, value }]) => [name, { data: value, dims: shape }] as const,
  );
  const weights = { ...readTensors('blip/weights.safetensors'), ...Object.fromEntries(tensors) };
  const { loss } = await session.run({ ...goldenFeeds(), ...weights });
  const golden = floats(readTensors('variants/expected-ia3-T-T-P.safetensors').loss)[0]!;
  expect(Math.abs(floats(loss)[0]! - golden)).toBeLessThan(1e-4);
  await session.release();
});

// AdamW hides a wrong scale of all gradients: no loss would show it.
test('the gradients are those of the training graph at a loss scale of 1', async () => {
  const feeds = {
    ...goldenFeeds(),
    ...Object.fromEntries(
      [...caseTensors(forward, which)].map(([n, { value, shape }]) => [n, { data: value, dims: shape }]),
    ),
  };
  const [official, own] = [
    await openGraph(gradientsOf(forward)),
    await openGraph(gradientGraph(goldenConfig, which.variant, { placement: which.placement })),
  ];
  const [a, b] = [await official.run(feeds), await own.run(feeds)];
  for (const name of trained) expect(a[`${name}_grad`], name).toEqual(b[`${name}.grad`]);
  expect(Object.keys(a)).toEqual(['loss', ...trained.map((n) => `${n}_grad`)]);
  await official.release();
  await own.release();
});

test("the optimizer's settings are those of the trainer", () => {
  expect(optimizerDefaults).toEqual(adamWDefaults);
});

test('the checkpoint holds the values that were given', () => {
  const given = caseTensors(forward, which);
  const trainable = [...given].map(([name, { shape }]) => ({
    name,
    shape: [...shape],
    init: 'zeros' as const,
    added: true,
  }));
  const { tensors } = readOrtCheckpoint(join(folder, 'checkpoint'), { trainable });
  for (const [name, { value }] of given) expect(tensors.get(name)!.value, name).toEqual(value);
});

test('batches are named arrays', () => {
  withSafetensors(join(folder, 'batches.safetensors'), (file) => {
    const inputs = new Set(
      [...file.header.tensors.keys()].filter((n) => n.startsWith('1/')).map((n) => n.slice(2)),
    );
    for (const name of userInputs) expect(inputs).toContain(name);
    expect(file.entry('1/pixel_values')).toMatchObject({ dtype: 'F32', shape: [3, 3, 32, 32] });
    expect(file.entry('0/question_shape').dtype).toBe('I64');
    expect(file.header.metadata).toEqual({ batches: '2' });
  });
});

test('same input, same bytes', () => {
  const again = temporaryFolder();
  writeCase(again, which, caseBatches(2));
  for (const file of readdirSync(folder))
    expect(readFileSync(join(again, file)).equals(readFileSync(join(folder, file))), file).toBe(true);
});

test('without anything trainable there is nothing to write', () => {
  const parameters = forward.parameters.map((p) => ({ ...p, trainable: false }));
  const all = new Map(forward.parameters.map((p, i) => [p, parameters[i]!] as const));
  const nodes = forward.nodes.map((n) => ({ ...n, inputs: n.inputs.map((v) => all.get(v as never) ?? v) }));
  const write = () =>
    writeOrtTraining(temporaryFolder(), {
      forward: { ...forward, parameters, nodes },
      weights: weightsFile,
      trained: new Map(),
    });
  expect(write).toThrow(UserError);
  expect(write).toThrow('nothing is trained');
});
