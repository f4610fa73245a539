/** @file Opens graphs whose frozen weights are the golden ones, on any device. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Graph } from '../../graph-builder/ir/types.js';
import { writeOnnx } from '../../graph-builder/onnx/write.js';
import type { DeviceSession } from '../../runtime/core/device-session.js';
import { type DeviceOptions, openDeviceSession } from '../../runtime/node/ort.js';
import { writeAtomic } from '../../training-artifacts/files.js';
import { withSafetensors } from '../../training-artifacts/weights/safetensors-file.js';
import { weightsFile } from '../support/golden.js';

/** A device that lacks an operator is an error. */
export async function openOn(
  graph: Graph,
  options: DeviceOptions,
  file = weightsFile,
): Promise<DeviceSession> {
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-test-'));
  const path = join(folder, 'graph.onnx');
  const bytes = withSafetensors(file, ({ header }) =>
    writeOnnx(graph, {
      name: 'test',
      weights: (p) => ({ location: 'weights.safetensors', ...header.tensors.get(p.name)! }),
    }),
  );
  writeAtomic(path, bytes);
  try {
    const weightsFolder = dirname(file);
    return await openDeviceSession(path, { weightsFolder, threads: 1, cpuFallback: false, ...options });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
