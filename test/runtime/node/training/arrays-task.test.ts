/** @file Training a model of another program on arrays: `build-graph --from`, then `ort-train --data`. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  withSafetensors,
  writeSafetensors,
} from '../../../../training-artifacts/weights/safetensors-file.js';
import { oracle } from '../../../support/golden.js';
import { type Form, goldenOf } from '../../../support/imports.js';
import { expectMessage, metricsOf, runProgram, temporaryFolder } from '../runs.js';

const folder = temporaryFolder();

/** Inputs and labels of a fixture, each sample eight times. */
function writeArrays(
  form: Form,
  file: string,
  change: (name: string, dims: number[]) => number[] | undefined = (_n, d) => d,
) {
  const { inputs, labels } = goldenOf(form);
  const tensors = Object.entries({ ...inputs, labels }).flatMap(([name, { data, dims }]) => {
    const shape = change(name, [8 * dims[0]!, ...dims.slice(1)]);
    if (!shape) return [];
    const all = new (data.constructor as new (n: number) => Float32Array)(shape.reduce((a, b) => a * b, 1));
    for (let at = 0; at + data.length <= all.length; at += data.length) all.set(data as Float32Array, at);
    const dtype = data instanceof Float32Array ? 'F32' : data instanceof Int32Array ? 'I32' : 'I64';
    return [[name, { dtype, shape, bytes: () => new Uint8Array(all.buffer) }] as const];
  });
  writeSafetensors(file, new Map(tensors));
  return file;
}

const model = (form: Form) => oracle(`imports/${form}.onnx`);
const build = (form: Form, name: string, ...flags: string[]) =>
  runProgram(
    'build-graph',
    ['--from', model(form), '--loss', 'cross-entropy', '--name', name, '--out', '.', ...flags],
    folder,
  );

describe.each<[Form, string[]]>([
  ['bert', ['--variant', 'lora-r2', '--sites', '**.self.{query,value}.weight']],
  ['resnet', ['--variant', 'lora-r2', '--sites', '**.conv1.weight']],
  ['mlp', ['--variant', 'full']],
])('%s', (form, flags) => {
  const run = join(folder, form);
  const data = join(folder, `${form}.safetensors`);
  const train = (...more: string[]) =>
    runProgram(
      'ort-train',
      ['--run', run, '--data', data, '--batch-size', '6', '--lr', '1e-2', '--threads', '1', ...more],
      folder,
    );

  beforeAll(async () => {
    writeArrays(form, data);
    const { code, stdout } = await build(form, form, ...flags);
    expect(code).toBe(0);
    expect(stdout).toContain('numbers trainable');
  });

  test('the loss falls, and what was trained is written', async () => {
    expect((await train('--epochs', '10')).code).toBe(0);
    const losses = metricsOf(run).map(({ loss }) => loss as number);
    expect(losses).toHaveLength(40);
    const mean = (part: number[]) => part.reduce((a, b) => a + b, 0) / part.length;
    expect(mean(losses.slice(-4))).toBeLessThan(0.9 * mean(losses.slice(0, 4)));
    const adapter = join(run, 'adapter');
    if (form === 'mlp') {
      expect(existsSync(join(adapter, 'model.safetensors'))).toBe(true);
      return;
    }
    const config = JSON.parse(readFileSync(join(adapter, 'adapter_config.json'), 'utf8'));
    const keys = withSafetensors(join(adapter, 'adapter_model.safetensors'), ({ header }) => [
      ...header.tensors.keys(),
    ]);
    expect(config).toMatchObject({ peft_type: 'LORA', r: 2, lora_alpha: 32 });
    for (const module of config.target_modules as string[])
      expect(keys).toContain(`base_model.model.${module}.lora_A.weight`);
  });

  test('interrupted and resumed it is the same training', async () => {
    const whole = metricsOf(run);
    expect((await train('--epochs', '10', '--overwrite', '--max-steps', '7')).code).toBe(0);
    expect((await train('--resume')).code).toBe(0);
    expect(metricsOf(run)).toEqual(whole);
  });
});

describe('what does not fit', () => {
  const run = join(folder, 'errors');
  beforeAll(async () => {
    await build('bert', 'errors', '--variant', 'lora-r2', '--sites', '**.query.weight');
  });
  const train = (data: string, ...more: string[]) => ['--run', run, '--data', data, ...more];
  const changed = (name: string, change: Parameters<typeof writeArrays>[2]) =>
    writeArrays('bert', join(folder, `${name}.safetensors`), change);

  test('no arrays', () =>
    expectMessage('ort-train', ['--run', run], /'vqa-rad' is no file of arrays\n.*--data\n.*input_ids/));
  test('an array that is missing', () =>
    expectMessage(
      'ort-train',
      train(changed('missing', (n, d) => (n === 'labels' ? undefined : d))),
      /no tensor labels\n.*missing/,
    ));
  test('samples of another length', () =>
    expectMessage(
      'ort-train',
      train(changed('length', (n, d) => (n === 'input_ids' ? [d[0]!, d[1]! + 1] : d))),
      /input_ids is I.. \[24,8\], the model takes int64 \[.*,7\]/,
    ));
  test('fewer labels than inputs', () =>
    expectMessage(
      'ort-train',
      train(changed('count', (n, d) => (n === 'labels' ? [12] : d))),
      /have 24 and 12 samples|have 12 and 24 samples/,
    ));
  test('an answer from it', () =>
    expectMessage(
      'ort-answer',
      ['--run', run, '--image', 'x.png', '--question', 'what?'],
      /does not answer questions about images/,
    ));
  test('a flag of this project’s model', () =>
    expectMessage(
      'build-graph',
      ['--from', model('mlp'), '--variant', 'lora-r2', '--placement', 'F/P/P'],
      /--placement is for models of this project/,
    ));
  test('a file that is no model', () =>
    expectMessage(
      'build-graph',
      ['--from', oracle('imports/mlp.safetensors'), '--variant', 'full', '--loss', 'mse'],
      /not an ONNX model/,
    ));
});
