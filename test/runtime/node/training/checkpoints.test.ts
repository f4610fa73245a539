/** @file Which checkpoints a training keeps, and that each can be used alone. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  checkpointPath,
  initialTensors,
  readCheckpoint,
  trainedValues,
  writeCheckpoint,
} from '../../../../training-artifacts/checkpoint/checkpoint.js';
import {
  linkCheckpoint,
  listCheckpoints,
  pruneCheckpoints,
  stepName,
} from '../../../../training-artifacts/checkpoint/checkpoint-files.js';
import { readManifest } from '../../../../training-artifacts/graphs/manifest.js';
import { metricsOf } from '../runs.js';
import { build, copyOf, leftovers, stateOf, train } from './support.js';

let built = '';
let kept = '';
beforeAll(async () => {
  built = build();
  kept = copyOf(built);
  await train(kept, { options: { saveEvery: 2, keep: 3 } }); // saves at 2, 4, 5, 6, 8, 10
});

test('the last n stay, of steps and of epochs', () => {
  expect(listCheckpoints(kept)).toEqual(['last', 'step-000006', 'step-000008', 'step-000010']);
  expect(leftovers(kept)).toEqual([]);
  for (const step of [6, 8, 10])
    expect(stateOf(kept, stepName(step)).counts).toMatchObject({ batches: step });
});

test('each is what a training to its step has saved', async () => {
  const run = copyOf(built);
  await train(run, { maxSteps: 8, options: { saveEvery: 2, keep: 3 } });
  expect(stateOf(run)).toEqual(stateOf(kept, 'step-000008'));
});

test('the newest of them and last are one file', () => {
  const inode = (name: string) => statSync(checkpointPath(kept, name)).ino;
  expect(inode('last')).toBe(inode('step-000010'));
  expect(inode('last')).not.toBe(inode('step-000008'));
});

test('a resumed run goes on with them; that of the interrupt is one of the last n', async () => {
  const run = copyOf(built);
  await train(run, { maxSteps: 7, options: { saveEvery: 2, keep: 3 } });
  expect(listCheckpoints(run)).toEqual(['last', 'step-000005', 'step-000006', 'step-000007']);
  await train(run, { resume: true });
  expect(listCheckpoints(run)).toEqual(['last', 'step-000007', 'step-000008', 'step-000010']);
  for (const name of ['last', 'step-000008']) expect(stateOf(run, name)).toEqual(stateOf(kept, name));
});

test('without --keep and --save-every there is last alone', async () => {
  const run = copyOf(built);
  await train(run);
  expect(listCheckpoints(run)).toEqual(['last']);
  expect(metricsOf(run)).toEqual(metricsOf(kept)); // saving changes no number
});

describe('names', () => {
  test('any file answers, by its name', () => {
    const manifest = readManifest(kept);
    const [name, { value }] = [...trainedValues(kept, manifest, 'step-000006')][0]!;
    expect(value).toEqual(readCheckpoint(kept, 'step-000006', manifest).tensors.get(name)!.value);
    expect(value).not.toEqual(trainedValues(kept, manifest, 'last').get(name)!.value);
  });

  test.each(['best', 'step-000007', 'step-6', '../manifest', 'last.safetensors', ''])(
    '%j is none',
    (name) => {
      expect(() => trainedValues(kept, readManifest(kept), name)).toThrow(
        /^no such checkpoint\n.*\n {2}to do: choose from last, step-000006, step-000008, step-000010, base$/,
      );
    },
  );

  test('steps are ordered by number, beyond six digits, too', () => {
    const run = copyOf(kept);
    for (const step of [1_000_000, 999_999, 70]) linkCheckpoint(run, 'last', stepName(step));
    pruneCheckpoints(run, 2);
    expect(listCheckpoints(run)).toEqual(['last', 'step-999999', 'step-1000000']);
  });
});

describe('damage', () => {
  const manifest = () => readManifest(kept);

  test('a number that is not finite is not saved: the file before stays', () => {
    const run = copyOf(kept);
    const before = readFileSync(checkpointPath(run, 'last'));
    const tensors = initialTensors(run, manifest());
    const [name, { expAvgSq }] = [...tensors][1]!;
    expAvgSq[3] = Number.POSITIVE_INFINITY;
    const { state } = readCheckpoint(run, 'last', manifest());
    expect(() => writeCheckpoint(run, ['step-000011', 'last'], tensors, state)).toThrow(
      `${name}.exp_avg_sq holds Infinity at place 3`,
    );
    expect(readFileSync(checkpointPath(run, 'last')).equals(before)).toBe(true);
    expect(listCheckpoints(run)).toEqual(listCheckpoints(kept));
  });

  test.each([Number.NaN, Number.NEGATIVE_INFINITY])(
    'a file that holds %d is refused, naming the tensor',
    (bad) => {
      const run = copyOf(kept);
      const file = checkpointPath(run, 'last');
      const bytes = readFileSync(file);
      bytes.writeFloatLE(bad, bytes.length - 4); // the end of the last tensor's second moment
      writeFileSync(file, bytes);
      const last = manifest().trainable.at(-1)!.name;
      const message = new RegExp(`^${last}\\.exp_avg_sq holds ${bad} at place \\d+\n {2}where: .*last`);
      expect(() => readCheckpoint(run, 'last', manifest())).toThrow(message);
      // answering needs no moments
      expect(trainedValues(run, manifest(), 'last').size).toBe(manifest().trainable.length);
    },
  );
});
