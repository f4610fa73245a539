/** @file The checkpoint's flatbuffer: written and read back, Python's own, damaged ones. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FileError, UserError } from '../../../graph-builder/errors.js';
import { adamWDefaults } from '../../../runtime/core/adamw.js';
import { Trainer } from '../../../runtime/core/trainer.js';
import {
  encodeCheckpoint,
  type OrtCheckpoint,
  ortTensor,
} from '../../../training-artifacts/ort-training/checkpoint-format.js';
import { gradientsOf } from '../../../training-artifacts/ort-training/graphs.js';
import {
  isOrtCheckpoint,
  readOrtCheckpoint,
} from '../../../training-artifacts/ort-training/read-checkpoint.js';
import {
  layerBatches,
  layerForward,
  layerTrainable,
  writeLayerWeights,
} from '../../oracles/ort_training/layer-case.js';
import { openGraph } from '../../support/golden.js';
import { recorded, savedByPython, temporaryFolder } from './support.js';

const folder = temporaryFolder();
const run = { trainable: layerTrainable };
const save = (bytes: Uint8Array): string => {
  const path = join(folder, 'checkpoint');
  writeFileSync(path, bytes);
  return path;
};

const weight = Float32Array.of(1, -2, 3.5, 0, 1e-30, 6);
const scale = Float32Array.of(0.25, -0);
const checkpoint: OrtCheckpoint = {
  trainable: [ortTensor('layer.scale', [2], scale), ortTensor('layer.weight', [2, 3], weight)],
  frozen: [ortTensor('layer.bias', [2], Float32Array.of(7, 8))],
};
const moments = new Map<string, readonly [Float32Array, Float32Array]>([
  ['layer.weight', [weight.map((v) => v / 2), weight.map((v) => v * v)]],
  ['layer.scale', [scale.map((v) => v / 2), scale.map((v) => v * v)]],
]);

describe('written and read back', () => {
  test('weights alone: the optimizer starts anew', () => {
    const { tensors, step, hasMoments } = readOrtCheckpoint(save(encodeCheckpoint(checkpoint)), run);
    expect([...tensors.keys()]).toEqual(['layer.weight', 'layer.scale']);
    expect(tensors.get('layer.weight')).toEqual({
      shape: [2, 3],
      value: weight,
      expAvg: new Float32Array(6),
      expAvgSq: new Float32Array(6),
    });
    expect({ step, hasMoments }).toEqual({ step: 0, hasMoments: false });
  });

  test('with moments and step', () => {
    const path = save(encodeCheckpoint({ ...checkpoint, optimizer: { step: 41, moments } }));
    const { tensors, step, hasMoments } = readOrtCheckpoint(path, run);
    expect({ step, hasMoments }).toEqual({ step: 41, hasMoments: true });
    for (const [name, [first, second]] of moments) {
      expect(tensors.get(name)).toMatchObject({ expAvg: first, expAvgSq: second });
    }
    expect(Object.is(tensors.get('layer.scale')!.value[1], -0)).toBe(true);
  });

  test('same content, same bytes', () => {
    const all = { ...checkpoint, optimizer: { step: 41, moments } };
    expect(Buffer.from(encodeCheckpoint(all)).equals(encodeCheckpoint(all))).toBe(true);
  });

  test('what is larger than 2 GiB is told before anything is read', () => {
    const never = () => {
      throw new Error('read');
    };
    const huge = { name: 'huge', dtype: 'float32', shape: [2 ** 29], length: 2 ** 31, bytes: never } as const;
    const write = () => encodeCheckpoint({ trainable: [], frozen: [huge] });
    expect(write).toThrow(UserError);
    expect(write).toThrow('needs 2.0 GiB, the official format holds 2 GiB');
    expect(write).toThrow('or train with ort-train, which has no such limit');
  });
});

describe("Python's own", () => {
  const golden = recorded().layer.losses;

  test('training goes on from it with the losses that Python had', async () => {
    const { tensors, step, hasMoments } = readOrtCheckpoint(savedByPython.withMoments, run);
    expect({ step, hasMoments }).toEqual({ step: 3, hasMoments: true });
    const bias = join(folder, 'bias.safetensors');
    writeLayerWeights(bias);
    const { outputs, ...graph } = gradientsOf(layerForward());
    const { loss, ...gradients } = outputs;
    const renamed = Object.entries(gradients).map(
      ([name, v]) => [name.replace(/_grad$/, '.grad'), v] as const,
    );
    const named = { loss: loss!, token_losses: loss!, ...Object.fromEntries(renamed) };
    const session = await openGraph({ ...graph, outputs: named }, bias);
    const options = { ...adamWDefaults, clip: 0 };
    const trainer = new Trainer(session, tensors, options, { step, lossScale: 1 });
    for (const [i, feeds] of layerBatches(6).slice(3).entries()) {
      const expected = golden[3 + i]!;
      const result = await trainer.step([feeds], 1e-3);
      expect(Math.abs(result.loss - expected) / expected).toBeLessThan(1e-6);
    }
    await session.release();
  });

  test('saved without the optimizer: equal weights, no moments', () => {
    const whole = readOrtCheckpoint(savedByPython.withMoments, run);
    const { tensors, step, hasMoments } = readOrtCheckpoint(savedByPython.withoutMoments, run);
    expect({ step, hasMoments }).toEqual({ step: 0, hasMoments: false });
    for (const [name, { value, expAvg }] of tensors) {
      expect(value).toEqual(whole.tensors.get(name)!.value);
      expect(expAvg.every((m) => m === 0)).toBe(true);
      expect(whole.tensors.get(name)!.expAvg.every((m) => m !== 0)).toBe(true);
    }
  });
});

describe('files that are not right', () => {
  const whole = readFileSync(savedByPython.withMoments);
  const read = (bytes: Uint8Array) => readOrtCheckpoint(save(bytes), run);
  const message = (act: () => unknown): string => {
    try {
      act();
    } catch (error) {
      if (error instanceof FileError) return error.what;
      throw error;
    }
    return 'read';
  };

  test('not a checkpoint, another version, a missing file', () => {
    expect(isOrtCheckpoint(savedByPython.withMoments)).toBe(true);
    expect(isOrtCheckpoint(save(Buffer.from('ODTC')))).toBe(false);
    expect(message(() => read(Buffer.from('{"a": 1}')))).toMatch(/^not a checkpoint of onnxruntime-training/);
    const other = Buffer.from(whole);
    const version = other.findLastIndex((b, i) => b === 2 && other.readInt32LE(i) === 2 && i < 80);
    other.writeInt32LE(1, version);
    expect(message(() => read(other))).toBe('checkpoint version 1, 2 is known');
    expect(message(() => readOrtCheckpoint(join(folder, 'none'), run))).toBe('cannot read (ENOENT)');
  });

  test('of another run', () => {
    const [first, second] = layerTrainable;
    const path = savedByPython.withMoments;
    const other = (trainable: typeof layerTrainable) => message(() => readOrtCheckpoint(path, { trainable }));
    expect(other([{ ...first!, name: 'other' }])).toBe('no tensor other');
    expect(other([{ ...second!, shape: [3] }])).toMatch(/^layer\.scale has the type 1 and shape \[2\]/);
    expect(other([{ name: 'layer.bias', shape: [2], init: 'zeros', added: false }])).toBe(
      'no tensor layer.bias',
    );
  });

  test('cut short anywhere', () => {
    for (let length = 0; length < whole.length; length += 3) {
      const what = message(() => read(whole.subarray(0, length)));
      // flatbuffers are written from the back: the padding at the end may be missing
      if (length < whole.length - 8) expect(what, `${length} bytes`).not.toBe('read');
    }
  });

  test('any bytes changed: an error that says so, or a whole answer', () => {
    const change = fc.tuple(fc.nat(whole.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const bytes = Buffer.from(whole);
        for (const [at, value] of changes) bytes[at] = value;
        message(() => {
          for (const { value, expAvg } of read(bytes).tensors.values())
            expect(expAvg.length).toBe(value.length);
        });
      }),
      { numRuns: 500 },
    );
  });
});
