/** @file What the machine has: processor, memory, Vulkan. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { join } from 'node:path';
import { runtimeVersion, supportedBackends } from '../ort.js';
import { type CudaFacts, cudaFacts, findLibraries, outputOf } from './cuda-libraries.js';

/** Instruction sets that decide how fast products are. */
const FEATURES = [
  'avx2',
  'fma',
  'f16c',
  'avx512f',
  'avx512_vnni',
  'avx_vnni',
  'avx512_bf16',
  'amx_tile',
  'amx_int8',
  'amx_bf16',
  'asimd',
  'asimddp',
  'i8mm',
  'bf16',
  'sve',
] as const;

/** Flags of the first processor; empty where the system does not tell. */
function cpuFeatures(): string[] {
  const file = '/proc/cpuinfo';
  if (!existsSync(file)) return [];
  const flags = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync(file, 'utf8'))?.[1] ?? '';
  const known = new Set(flags.trim().split(/\s+/));
  return FEATURES.filter((f) => known.has(f));
}

export interface VulkanFacts {
  /** path of the loader, null: there is none */
  readonly loader: string | null;
  /** files that describe drivers */
  readonly drivers: readonly string[];
  /** names of cards by vulkaninfo, where it is installed */
  readonly devices: readonly string[];
}

const DRIVER_FOLDERS = ['/usr/share/vulkan/icd.d', '/etc/vulkan/icd.d', '/usr/local/share/vulkan/icd.d'];

/** Linux: the WebGPU provider runs on Vulkan. */
function vulkanFacts(): VulkanFacts {
  const named = (process.env.VK_DRIVER_FILES ?? process.env.VK_ICD_FILENAMES ?? '')
    .split(':')
    .filter(Boolean);
  const listed = DRIVER_FOLDERS.filter((folder) => existsSync(folder)).flatMap((folder) =>
    readdirSync(folder).map((file) => join(folder, file)),
  );
  const summary = outputOf('vulkaninfo', ['--summary']) ?? '';
  return {
    loader: findLibraries(['libvulkan.so.1'])[0]!.path,
    drivers: named.length > 0 ? named.filter((file) => existsSync(file)) : listed,
    devices: [...summary.matchAll(/deviceName\s*=\s*(.+)/g)].map((m) => m[1]!.trim()),
  };
}

export interface MachineFacts {
  readonly node: string;
  readonly platform: string;
  readonly onnxruntime: string;
  readonly backends: readonly { readonly name: string; readonly bundled: boolean }[];
  readonly cpu: { readonly model: string; readonly cores: number; readonly features: readonly string[] };
  readonly memoryGb: { readonly total: number; readonly free: number };
  /** null: the system has another way to the card */
  readonly vulkan: VulkanFacts | null;
  readonly cuda: CudaFacts;
}

const gb = (bytes: number): number => Math.round(bytes / 1e8) / 10;

export const machineFacts = (): MachineFacts => ({
  node: process.version,
  platform: `${process.platform} ${process.arch}`,
  onnxruntime: runtimeVersion(),
  backends: supportedBackends(),
  cpu: {
    model: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    features: cpuFeatures(),
  },
  memoryGb: { total: gb(totalmem()), free: gb(freemem()) },
  vulkan: process.platform === 'linux' ? vulkanFacts() : null,
  cuda: cudaFacts(),
});
