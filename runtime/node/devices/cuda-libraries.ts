/** @file NVIDIA's side: driver, card, libraries, and ONNX Runtime's own CUDA provider. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';

/** Fetches ONNX Runtime's CUDA provider, which the package leaves out. */
export const INSTALL_CUDA =
  'npm rebuild onnxruntime-node --onnxruntime-node-install=cuda12 --foreground-scripts';

/** What the provider links: CUDA 12 and cuDNN 9. */
const LIBRARIES = [
  'libcuda.so.1',
  'libcudart.so.12',
  'libcublas.so.12',
  'libcublasLt.so.12',
  'libcufft.so.11',
  'libcurand.so.10',
  'libcudnn.so.9',
] as const;

/** The provider's file, there or not. */
export function cudaProviderPath(): string {
  const root = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  const folder = join(root, 'bin', 'napi-v6', process.platform, process.arch);
  return join(folder, 'libonnxruntime_providers_cuda.so');
}

export const hasCudaProvider = (): boolean => existsSync(cudaProviderPath());

/** Standard output of a program; undefined where it is missing or fails. */
export function outputOf(program: string, args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync(program, args, { encoding: 'utf8', timeout: 10_000 });
  return status === 0 ? stdout : undefined;
}

/** Paths of the shared libraries that the linker knows, by name. */
function linkerCache(): Map<string, string> {
  const listing = outputOf('ldconfig', ['-p']) ?? outputOf('/sbin/ldconfig', ['-p']) ?? '';
  const entries = [...listing.matchAll(/^\s*(\S+) \(.*\) => (\S+)$/gm)].map((m) => [m[1]!, m[2]!] as const);
  return new Map(entries.reverse()); // of several the first counts
}

/** Folders that are searched before the linker's cache, and where CUDA puts itself. */
function searchFolders(): string[] {
  const usual = existsSync('/usr/local')
    ? readdirSync('/usr/local')
        .filter((name) => /^cuda(-|$)/.test(name))
        .map((name) => join('/usr/local', name, 'lib64'))
    : [];
  return [...(process.env.LD_LIBRARY_PATH ?? '').split(':').filter(Boolean), ...usual];
}

/** Version in a library's real file name: libcudart.so.12.4.127 is 12.4.127. */
function versionOf(path: string): string {
  try {
    return /\.so\.(.+)$/.exec(basename(realpathSync(path)))?.[1] ?? '?';
  } catch {
    return '?';
  }
}

export interface FoundLibrary {
  readonly name: string;
  readonly path: string | null;
  readonly version: string | null;
}

/** Finds shared libraries as the linker would. */
export function findLibraries(names: readonly string[]): FoundLibrary[] {
  const cache = linkerCache();
  const folders = searchFolders();
  return names.map((name) => {
    const path =
      folders.map((folder) => join(folder, name)).find((file) => existsSync(file)) ?? cache.get(name) ?? null;
    return { name, path, version: path && versionOf(path) };
  });
}

export interface NvidiaCard {
  readonly name: string;
  readonly memory: string;
  readonly driver: string;
}

/** Cards by nvidia-smi; none where it is missing. */
export function nvidiaCards(): NvidiaCard[] {
  const query = ['--query-gpu=name,memory.total,driver_version', '--format=csv,noheader'];
  const rows = (outputOf('nvidia-smi', query) ?? '').split('\n').filter(Boolean);
  return rows.map((row) => {
    const [name = '?', memory = '?', driver = '?'] = row.split(',').map((cell) => cell.trim());
    return { name, memory, driver };
  });
}

export interface CudaFacts {
  readonly cards: readonly NvidiaCard[];
  readonly libraries: readonly FoundLibrary[];
  /** whether ONNX Runtime's CUDA provider is installed */
  readonly provider: boolean;
  /** what to do before CUDA can work; empty: nothing known is missing */
  readonly missing: readonly string[];
}

export function cudaFacts(): CudaFacts {
  const provider = hasCudaProvider();
  const cards = nvidiaCards();
  const libraries = findLibraries(LIBRARIES);
  const absent = libraries.filter((l) => !l.path).map((l) => l.name);
  const missing = [
    ...(process.platform === 'linux' && process.arch === 'x64'
      ? []
      : ['onnxruntime-node has CUDA for Linux x64 only']),
    ...(cards.length > 0 ? [] : ['no NVIDIA card: nvidia-smi names none']),
    ...(provider ? [] : [`the CUDA provider of ONNX Runtime is not installed: ${INSTALL_CUDA}`]),
    ...(absent.length > 0 ? [`CUDA 12 and cuDNN 9 are not complete: ${absent.join(', ')}`] : []),
  ];
  return { cards, libraries, provider, missing };
}
