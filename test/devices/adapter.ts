/**
 * @file The device that the tests run on: MILE_ORT_DEVICE (cuda, cuda:1), by default WebGPU, on the machine's own
 * adapter or on the software Vulkan in Debian's chromium package.
 */
import { existsSync, readdirSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { GraphBuilder } from '../../graph-builder/ir/builder.js';
import { writeOnnx } from '../../graph-builder/onnx/write.js';
import type { Session } from '../../runtime/core/session.js';
import { type Device, isCuda, parseDevice } from '../../runtime/node/devices/device.js';
import { openSession } from '../../runtime/node/ort.js';

/** What is compared with the CPU. */
export const device = parseDevice(process.env.MILE_ORT_DEVICE ?? 'webgpu') as Device;

const CHROMIUM = '/usr/lib/chromium';
const DRIVERS = '/usr/share/vulkan/icd.d';

/** The file that describes a driver: chromium's SwiftShader, else a card's; Mesa's lavapipe is too old in Debian 12. */
function driverFile(): string | undefined {
  const shipped = join(CHROMIUM, 'vk_swiftshader_icd.json');
  if (existsSync(shipped)) return shipped;
  const installed = existsSync(DRIVERS) ? readdirSync(DRIVERS).filter((file) => file.endsWith('.json')) : [];
  return installed.map((file) => join(DRIVERS, file))[0];
}

/**
 * Loads chromium's Vulkan loader where the system has none. It is no Node addon, and Node says so after it was
 * loaded; the flag keeps it for the WebGPU provider, which asks for it by name.
 */
function loadLoader(): void {
  const KEEP = 0x1000; // RTLD_NODELETE
  const file = join(CHROMIUM, 'libvulkan.so.1');
  if (!existsSync(file)) return;
  try {
    process.dlopen({ exports: {} }, file, constants.dlopen.RTLD_LAZY | KEEP);
  } catch {
    // as expected
  }
}

/** Prepares this process: a session on the adapter, or undefined. */
async function findAdapter(): Promise<Session | undefined> {
  if (!isCuda(device)) {
    const driver = driverFile();
    if (driver) process.env.VK_ICD_FILENAMES ??= driver;
    loadLoader();
  }
  const g = new GraphBuilder();
  const x = g.input('x', 'float32', [1]);
  const graph = writeOnnx(g.finish({ y: g.add(x, x) }), { name: 'probe', weights: () => undefined as never });
  try {
    return await openSession(graph, { device });
  } catch (error) {
    if (process.env.MILE_ORT_DEVICE) throw error; // asked for
    return undefined;
  }
}

/** Held open: compiled shaders live as long as any session does, and compiling them takes most of the time. */
const held = await findAdapter();
afterAll(() => held?.release());

/** Whether to leave the tests out: without an adapter, unless this is CI, where one must be there. */
export const isSkipped = !held && !process.env.CI;

if (isSkipped)
  console.warn(
    'Device tests are skipped: no WebGPU adapter. On Debian, apt-get install chromium brings a software one.',
  );
