/** @file Every graph that the project writes, on a device without the CPU's help: the CPU's numbers. */
import { describe, expect, test } from 'vitest';
import { GraphBuilder } from '../../graph-builder/ir/builder.js';
import { verify } from '../../graph-builder/ir/graph.js';
import { writeOnnx } from '../../graph-builder/onnx/write.js';
import { recompute } from '../../graph-builder/rewrites/recompute.js';
import type { Feeds, Tensor } from '../../runtime/core/session.js';
import type { Device } from '../../runtime/node/devices/device.js';
import { DeviceError } from '../../runtime/node/devices/provider-error.js';
import { openSession } from '../../runtime/node/ort.js';
import { norm } from '../support/golden.js';
import { device, isSkipped } from './adapter.js';
import { type GraphCase, graphCases } from './graph-cases.js';
import { openOn } from './open.js';

const TOLERANCE = 1e-4; // measured: 1.5e-5 at most, a gradient of lora_A

const numbers = (t: Tensor | undefined): number[] => Array.from(t!.data, Number);

/** Both devices' outputs of a graph. */
async function onBoth({ graph, feeds }: GraphCase) {
  const outputs = async (on: Device): Promise<Feeds> => {
    const session = await openOn(graph, { device: on });
    const results = await session.run(feeds);
    await session.release();
    return results as Feeds;
  };
  return { ours: await outputs(device), theirs: await outputs('cpu') };
}

/** Per output, 2-norms; a gradient that is exactly 0 is measured against all of them. */
function expectEqual(what: string, { ours, theirs }: Awaited<ReturnType<typeof onBoth>>): void {
  const all = norm(Object.values(theirs).map((t) => norm(numbers(t))));
  for (const [name, t] of Object.entries(theirs)) {
    const [a, b] = [numbers(ours[name]), numbers(t)];
    expect(ours[name]!.dims, `${what}: ${name}`).toEqual(t.dims);
    if (t.data instanceof BigInt64Array) expect(a, `${what}: ${name}`).toEqual(b);
    const difference = norm(a.map((v, i) => v - b[i]!));
    expect(difference, `${what}: ${name}`).toBeLessThan(TOLERANCE * norm(b) + 1e-6 * all);
  }
}

const rows: readonly (readonly [variant: string, placement: string])[] = [
  ['lora-r4', 'F/P/P'], // with all cuts
  ['lora-r4', 'P/P/P'],
  ['lora-r4', 'T/T/P'],
  ['dora-r4', 'P/P/P'],
  ['ia3', 'F/P/P'],
  ['ia3', 'P/P/P'],
  ['prefix-n10', 'F/P/P'],
  ['prefix-n10', 'F/F/P'], // the question's states are cut out
  ['ptv2-n10', 'T/P/P'],
  ['full', 'T/T/T'],
];

describe.skipIf(isSkipped)(device, () => {
  test.each(rows)('%s %s', { timeout: 300_000 }, async (name, placement) => {
    const cases = graphCases(name, placement);
    const frozenVit = placement.startsWith('F');
    expect(Object.keys(cases)).toHaveLength(frozenVit ? 13 : 8);
    for (const [what, one] of Object.entries(cases)) expectEqual(what, await onBoth(one));
  });

  test.each(['selective', 'blocks'] as const)('%s rebuilt in the backward pass', async (mode) => {
    const { graph, feeds } = graphCases('lora-r4', 'P/P/P').training!;
    expectEqual(mode, await onBoth({ graph: verify(recompute(graph, mode)), feeds }));
  });

  test.skipIf(device !== 'webgpu')(
    'an operator without a kernel is an error, not a silent copy to the CPU',
    async () => {
      const g = new GraphBuilder();
      const x = g.input('x', 'int64', [2]);
      const bytes = writeOnnx(g.finish({ y: g.add(x, x) }), { name: 'x', weights: () => undefined as never });
      const opened = openSession(bytes, { device: 'webgpu', cpuFallback: false });
      await expect(opened).rejects.toThrow(DeviceError);
      await expect(opened).rejects.toThrow(/no kernel on webgpu\n {2}where: --device webgpu\n {2}to do: /);
      await (await openSession(bytes, { device: 'webgpu' })).release();
    },
  );
});
