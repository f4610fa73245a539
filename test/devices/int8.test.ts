/** @file The weight-only form on a device without the CPU's help: the CPU's numbers. */
import { describe, expect, test } from 'vitest';
import { verify } from '../../graph-builder/ir/graph.js';
import { lossGraph } from '../../graph-builder/models/miss.js';
import { halfWeights } from '../../graph-builder/rewrites/half-weights.js';
import type { Feeds } from '../../runtime/core/session.js';
import type { Device } from '../../runtime/node/devices/device.js';
import { DeviceError } from '../../runtime/node/devices/provider-error.js';
import { toHalf } from '../../training-artifacts/weights/half.js';
import {
  type LazyTensor,
  withSafetensors,
  writeSafetensors,
} from '../../training-artifacts/weights/safetensors-file.js';
import { goldenConfig, norm, weightsFile } from '../support/golden.js';
import { fileWithInt8, inInt8, weightsPathIn } from '../support/int8.js';
import { device, isSkipped } from './adapter.js';
import { graphCases } from './graph-cases.js';
import { openOn } from './open.js';

/** The golden weights with all matrices in float16. */
function halfFile(): string {
  const path = weightsPathIn('half');
  withSafetensors(weightsFile, (file) => {
    const tensors = [...file.header.tensors].map(([name, { shape }]): [string, LazyTensor] => {
      const half = () => new Uint8Array(toHalf(new Float32Array(file.bytes(name).buffer)).buffer);
      return shape.length > 1
        ? [name, { dtype: 'F16', shape, bytes: half }]
        : [name, { dtype: 'F32', shape, bytes: () => file.bytes(name) }];
    });
    writeSafetensors(path, new Map(tensors));
  });
  return path;
}

const TOLERANCE = 1e-4; // as in graphs.test.ts

describe.skipIf(isSkipped)(device, () => {
  const file = fileWithInt8(weightsFile, lossGraph(goldenConfig), 'weight-only');

  test.each(Object.entries(graphCases('lora-r4', 'P/P/P')))(
    '%s',
    { timeout: 300_000 },
    async (what, { graph, feeds }) => {
      const int8 = inInt8(graph, 'weight-only');
      expect(
        int8.nodes.some((n) => n.op === 'MatMulNBits'),
        what,
      ).toBe(true);
      const outputs = async (on: Device): Promise<Feeds> => {
        const session = await openOn(int8, { device: on }, file);
        const results = await session.run(feeds);
        await session.release();
        return results as Feeds;
      };
      const [ours, theirs] = [await outputs(device), await outputs('cpu')];
      const all = norm(Object.values(theirs).map((t) => norm(Array.from(t.data, Number))));
      for (const [name, { data }] of Object.entries(theirs)) {
        const [a, b] = [Array.from(ours[name]!.data, Number), Array.from(data, Number)];
        const difference = norm(a.map((v, i) => v - b[i]!));
        expect(difference, `${what}: ${name}`).toBeLessThan(TOLERANCE * norm(b) + 1e-6 * all);
      }
    },
  );

  test('tables of float16 need no device that reads float16', { timeout: 300_000 }, async () => {
    const { graph, feeds } = graphCases('lora-r4', 'F/P/P')['question encoder']!;
    const half = verify(halfWeights(graph, (p) => p.shape.length > 1, 'whole'));
    expect(half.parameters.some((p) => p.dtype === 'float16')).toBe(true);
    const session = await openOn(half, { device }, halfFile());
    const results = await session.run(feeds);
    await session.release();
    for (const { data } of Object.values(results as Feeds))
      expect(Array.from(data, Number).every(Number.isFinite)).toBe(true);
  });

  test.skipIf(device !== 'webgpu')('the dynamic form is refused by name: it is for the CPU', async () => {
    const { graph } = graphCases('lora-r4', 'F/P/P').evaluation!;
    const dynamic = fileWithInt8(weightsFile, lossGraph(goldenConfig), 'dynamic');
    await expect(openOn(inInt8(graph, 'dynamic'), { device: 'webgpu' }, dynamic)).rejects.toThrow(
      DeviceError,
    );
  });
});
