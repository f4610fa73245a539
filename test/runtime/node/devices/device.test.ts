/** @file Devices by name, what they copy, and errors that say what to install. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { GraphBuilder } from '../../../../graph-builder/ir/builder.js';
import { writeOnnx } from '../../../../graph-builder/onnx/write.js';
import { float32, floats } from '../../../../runtime/core/session.js';
import { copiedBytes } from '../../../../runtime/node/devices/copied-bytes.js';
import {
  cudaFacts,
  findLibraries,
  hasCudaProvider,
  linkedLibraries,
} from '../../../../runtime/node/devices/cuda-libraries.js';
import { parseDevice, providerOf } from '../../../../runtime/node/devices/device.js';
import { DeviceError, sessionError } from '../../../../runtime/node/devices/provider-error.js';
import { openSession } from '../../../../runtime/node/ort.js';

test('names of devices and their providers', () => {
  expect(['auto', 'CPU', 'webgpu', 'cuda', 'cuda:1'].map((name) => parseDevice(name))).toEqual([
    'auto',
    'cpu',
    'webgpu',
    'cuda',
    'cuda:1',
  ]);
  expect(providerOf('cpu')).toBe('cpu');
  expect(providerOf('webgpu')).toEqual({ name: 'webgpu' });
  expect(providerOf('cuda')).toEqual({ name: 'cuda', deviceId: 0 });
  expect(providerOf('cuda:3')).toEqual({ name: 'cuda', deviceId: 3 });
});

test.each(['gpu', 'cuda:', 'cuda:x', 'cuda:-1', 'cpu:1', ''])("'%s' is no device", (name) => {
  const message = `there is no device '${name}'\n  where: --device\n  to do: choose from auto, cpu, webgpu, cuda`;
  expect(() => parseDevice(name)).toThrow(message);
});

const adder = () => {
  const g = new GraphBuilder();
  const x = g.input('x', 'float32', [2]);
  return writeOnnx(g.finish({ y: g.add(x, x) }), { name: 'adder', weights: () => undefined as never });
};

test('a graph is loaded from its bytes', async () => {
  const session = await openSession(adder(), { device: 'cpu', cpuFallback: false });
  const { y } = await session.run({ x: float32(Float32Array.of(1, 2), [2]) });
  expect(floats(y)).toEqual(Float32Array.of(2, 4));
  await session.release();
});

test.skipIf(hasCudaProvider())('CUDA that is not installed names the command that installs it', async () => {
  const opened = openSession(adder(), { device: 'cuda:1' });
  await expect(opened).rejects.toThrow(DeviceError);
  await expect(opened).rejects.toThrow(
    'the CUDA provider of ONNX Runtime is not installed\n  where: --device cuda:1\n' +
      '  to do: npm rebuild onnxruntime-node --onnxruntime-node-install=cuda12 --foreground-scripts (Linux x64)',
  );
});

test('a missing adapter, a missing kernel and a damaged graph are told apart', () => {
  const error = (message: string, device: 'cpu' | 'webgpu') =>
    sessionError(new Error(message), 'x.onnx', device);
  const adapter = error(
    'webgpu_context.cc:136 Failed to get a WebGPU adapter: No supported adapters',
    'webgpu',
  );
  expect(adapter).toBeInstanceOf(DeviceError);
  expect(adapter.message).toMatch(
    /^there is no WebGPU adapter\n {2}where: --device webgpu\n {2}to do: .*libvulkan1/,
  );
  const kernel =
    'nodes that are assigned to the default CPU EP, but fallback to CPU EP has been explicitly disabled';
  expect(error(kernel, 'webgpu').message).toMatch(/^an operator of the graph has no kernel on webgpu\n/);
  for (const device of ['cpu', 'webgpu'] as const)
    expect(error('Protobuf parsing failed.\nmore', device).message).toBe(
      'cannot load the graph: Protobuf parsing failed.\n  where: x.onnx\n  to do: build the run again with build-graph',
    );
});

test('bytes that a step copies are those of the trained numbers, both ways', () => {
  const tensor = (name: string, shape: number[]) => ({ name, shape, init: 'zeros' as const, added: true });
  const manifest = { trainable: [tensor('a', [4, 768]), tensor('b', [768, 4]), tensor('c', [10])] };
  const bytes = 4 * (2 * 4 * 768 + 10);
  expect(copiedBytes(manifest, 'cuda:1')).toEqual({ toDevice: bytes, fromDevice: bytes });
  expect(copiedBytes(manifest, 'webgpu')).toEqual({ toDevice: 0, fromDevice: 0 });
});

test('libraries are found as the linker finds them; what is missing is no error', () => {
  const [absent, c] = findLibraries(['libnone.so.77', 'libc.so.6']);
  expect(absent).toEqual({ name: 'libnone.so.77', path: null, version: null });
  if (process.platform === 'linux') expect(c!.path).toMatch(/libc\.so\.6$/);
});

test.skipIf(hasCudaProvider())(
  'without the provider, libraries of any CUDA are listed; odd search folders are no error',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'mile-ort-test-'));
    const library = join(folder, 'libcublas.so.77');
    writeFileSync(library, '');
    vi.stubEnv('LD_LIBRARY_PATH', `${library}:${join(folder, 'nowhere')}:${folder}`); // a file, nothing, a folder
    const { libraries } = cudaFacts();
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
    expect(libraries).toContainEqual({ name: 'libcublas.so.77', path: library, version: '77' });
  },
);

test("the provider's libraries are those that the dynamic linker names", () => {
  const listing = [
    '\tlinux-vdso.so.1 (0x00007ffd)',
    '\tlibcublas.so.13 => not found',
    '\tlibcudart.so.13 => /opt/nowhere/libcudart.so.13 (0x00007f5456fa8000)',
    '\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f5456fa8000)',
  ].join('\n');
  expect(linkedLibraries(listing)).toEqual([
    { name: 'libcublas.so.13', path: null, version: null },
    { name: 'libcudart.so.13', path: '/opt/nowhere/libcudart.so.13', version: '?' },
  ]);
});
