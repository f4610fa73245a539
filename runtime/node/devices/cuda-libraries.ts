/** @file NVIDIA's side: driver, card, libraries, and ONNX Runtime's own CUDA provider. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';

/** Fetches ONNX Runtime's CUDA provider, which the package leaves out. */
export const INSTALL_CUDA =
  'npm rebuild onnxruntime-node --onnxruntime-node-install=cuda12 --foreground-scripts';

/** Loaded by name while a graph runs, so that the provider's file does not list it. */
const CUDNN = 'libcudnn.so.9';

/** Libraries of the CUDA toolkit that a provider may link, of any version. */
const TOOLKIT = /^lib(cuda|cudart|cublas|cublasLt|cufft|curand|cudnn)\.so\.\d+$/;

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

/** Names in a folder; none where there is no such folder, or none that we may read. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Paths of all shared libraries by name, those of the first folder where there are several. */
function knownLibraries(): Map<string, string> {
  const inFolders = searchFolders().flatMap((folder) =>
    namesIn(folder).map((name) => [name, join(folder, name)] as const),
  );
  return new Map([...linkerCache(), ...inFolders.reverse()]);
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
  const known = knownLibraries();
  return names.map((name) => found(name, known.get(name)));
}

const found = (name: string, path: string | undefined): FoundLibrary => ({
  name,
  path: path ?? null,
  version: path === undefined ? null : versionOf(path),
});

/**
 * What the provider links, as the dynamic linker resolves it: the version of CUDA is the provider's choice (of 1.30
 * CUDA 13 in PyPI's build).
 *
 * @param listing what `ldd` prints
 */
export function linkedLibraries(listing: string): FoundLibrary[] {
  const lines = [...listing.matchAll(/^\s*(lib(?:cu|nv)\S+) => (?:not found|(\/\S+))/gm)];
  return lines.map(([, name, path]) => found(name!, path));
}

/** The provider's libraries; before it is installed, those of any CUDA that is there. */
function cudaLibraries(provider: boolean): FoundLibrary[] {
  if (provider)
    return [...linkedLibraries(outputOf('ldd', [cudaProviderPath()]) ?? ''), ...findLibraries([CUDNN])];
  return [...knownLibraries()]
    .filter(([name]) => TOOLKIT.test(name))
    .map(([name, path]) => found(name, path));
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
  const libraries = cudaLibraries(provider);
  const absent = libraries.filter((l) => !l.path).map((l) => l.name);
  const missing = [
    ...(process.platform === 'linux' && process.arch === 'x64'
      ? []
      : ['onnxruntime-node has CUDA for Linux x64 only']),
    ...(cards.length > 0 ? [] : ['no NVIDIA card: nvidia-smi names none']),
    ...(provider ? [] : [`the CUDA provider of ONNX Runtime is not installed: ${INSTALL_CUDA}`]),
    ...(absent.length > 0
      ? [`libraries that the CUDA provider needs are not found: ${absent.join(', ')}`]
      : []),
  ];
  return { cards, libraries, provider, missing };
}
