/** @file `--device auto`: right before fast. */
import { expect, test } from 'vitest';
import { chooseDevice, lossProblem } from '../../../../runtime/node/devices/choose-device.js';
import type { Device } from '../../../../runtime/node/devices/device.js';
import type { Outcome } from '../../../../runtime/node/devices/measure-in-child.js';

const job = { run: 'runs/none', role: 'training', feeds: {} } as const;
const took = (msPerStep: number, losses = [4, 3, 2]): Outcome => ({ msPerStep, firstStepMs: 9, losses });

const choose = (outcomes: Partial<Record<Device, Outcome>>) => {
  const [, ...others] = Object.keys(outcomes) as Device[];
  return chooseDevice(job, async (device) => outcomes[device]!, others);
};

test('the fastest of those whose losses are right', async () => {
  const chosen = await choose({ cpu: took(100), webgpu: took(20, [4, 3.0001, 2]), cuda: took(5) });
  expect(chosen.device).toBe('cuda');
  expect(chosen.note).toBe(
    'device cuda, the fastest of cpu 100 ms a step; webgpu 20 ms a step; cuda 5.0 ms a step',
  );
});

test.each([
  ['wrong', took(20, [4, 3.001, 2]), 'its loss at step 2 is 3.001, not 3'],
  ['not a number', took(20, [4, 3, Number.NaN]), 'its loss at step 3 is NaN, not 2'],
  ['not there', { what: 'there is no WebGPU adapter', remedy: 'x' }, 'there is no WebGPU adapter'],
])('a faster device that is %s is out', async (_, outcome, problem) => {
  const chosen = await choose({ cpu: took(100), webgpu: outcome });
  expect(chosen.device).toBe('cpu');
  expect(chosen.trials[1]!.problem).toBe(problem);
  expect(chosen.note).toBe(`device cpu, the fastest of cpu 100 ms a step; webgpu: ${problem}`);
});

test('a slower one stays out; a CPU that fails leaves the error to the training', async () => {
  expect((await choose({ cpu: took(10), webgpu: took(20) })).device).toBe('cpu');
  const failed = await choose({ cpu: { what: 'cannot load the graph', remedy: 'x' }, webgpu: took(1) });
  expect(failed.device).toBe('cpu');
});

test('losses may differ by 1e-4', () => {
  expect(lossProblem([1.00009, 2], [1, 2])).toBeNull();
  expect(lossProblem([1.00011, 2], [1, 2])).toMatch(/step 1/);
});
