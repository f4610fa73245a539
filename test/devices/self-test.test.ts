/** @file A run folder trained on the device: the losses that ship with the package. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { lossProblem } from '../../runtime/node/devices/choose-device.js';
import { measure } from '../../runtime/node/devices/measure.js';
import { lossesFile, withSelfTest } from '../../runtime/node/devices/self-test.js';
import { device, isSkipped } from './adapter.js';

test.skipIf(isSkipped)('ten steps with dropout', { timeout: 300_000 }, async () => {
  const { losses } = JSON.parse(readFileSync(lossesFile(), 'utf8')) as { losses: number[] };
  const measured = await withSelfTest((job) => measure({ ...job, device }));
  expect(measured.losses).toHaveLength(10);
  expect(lossProblem(measured.losses, losses)).toBeNull();
});
