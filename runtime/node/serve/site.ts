/** @file What ort-serve serves: a closed list of paths, each with a file or content made here. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, extname, join } from 'node:path';
import { packageRoot } from '../../../datasets/package-root.js';
import { FileError, UserError } from '../../../graph-builder/errors.js';
import { formatPlacement } from '../../../graph-builder/variant/placement.js';
import { placementOf } from '../../../graph-builder/variant/variant.js';
import { hasCheckpoint, trainedValues } from '../../../training-artifacts/checkpoint/checkpoint.js';
import { checkpointPath } from '../../../training-artifacts/checkpoint/checkpoint-files.js';
import { readFile } from '../../../training-artifacts/files.js';
import {
  type GraphRole,
  graphFiles,
  type Manifest,
  readManifest,
  weightsPath,
} from '../../../training-artifacts/graphs/manifest.js';
import { weightFiles } from '../../../training-artifacts/graphs/weight-files.js';
import { layOut } from '../../../training-artifacts/weights/safetensors.js';
import type { ServedRun, ServedRuns } from '../../core/served-runs.js';

/** One path of the site. */
export interface SiteFile {
  readonly type: string;
  /** a file on disk, or its content as it is now */
  readonly content: string | (() => Uint8Array);
  /** names this content; changes when it does */
  readonly tag: () => string;
  /** never another content under this path: browsers need not ask again */
  readonly immutable?: boolean;
}

/** Paths without a leading slash. Nothing else is served: there is no path that could lead out of it. */
export type Site = ReadonlyMap<string, SiteFile>;

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.webmanifest': 'application/manifest+json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.wasm': 'application/wasm',
};

/** ONNX Runtime for the browser: with WebAssembly alone, and with WebGPU. */
const runtimeFiles = ['', '.asyncify'].flatMap((build) =>
  ['.mjs', '.wasm'].map((ending) => `ort-wasm-simd-threaded${build}${ending}`),
);

/** Graphs that the page opens. */
const served: readonly GraphRole[] = [
  'imageEncoder',
  'questionEncoder',
  'answerDecoder',
  'training',
  'evaluation',
  'frozenVit',
  'trainingVit',
  'frozenKv',
  'trainingKv',
];

/** Length and time: enough to know that a file is another one, without reading gigabytes. */
const statTag = (path: string): string => {
  const { size, mtimeMs } = statSync(path);
  return `${size.toString(36)}-${Math.round(mtimeMs).toString(36)}`;
};

const onDisk = (path: string, immutable = false): SiteFile => ({
  type: types[extname(path)] ?? 'application/octet-stream',
  content: path,
  tag: () => statTag(path),
  immutable,
});

const inMemory = (type: string, bytes: () => Uint8Array): SiteFile => ({
  type: types[type]!,
  content: bytes,
  tag: () => createHash('sha256').update(bytes()).digest('hex').slice(0, 16),
});

const json = (value: () => unknown): SiteFile =>
  inMemory('.json', () => Buffer.from(JSON.stringify(value())));

/** @throws {FileError} when the page was not built. */
function pageFiles(): [string, SiteFile][] {
  const folder = join(packageRoot(), '.build', 'page');
  if (!existsSync(join(folder, 'index.html')))
    throw new FileError('the page is not built', folder, 'run npm run prepare, or install the package again');
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .replaceAll('\\', '/'),
    );
  // the bundler puts a hash of the content into these names
  return names.map((name) => [name, onDisk(join(folder, name), name.startsWith('assets/'))]);
}

function runtimeEntries(): [string, SiteFile][] {
  const resolve = createRequire(import.meta.url).resolve;
  return runtimeFiles.map((file) => [`ort/${file}`, onDisk(resolve(`onnxruntime-web/${file}`))]);
}

/** Trained values alone, without the optimizer's moments: a third of a checkpoint. */
function trainedFile(run: string, manifest: Manifest): Uint8Array {
  const values = trainedValues(run, manifest);
  const { header } = layOut([...values].map(([name, { shape }]) => [name, { dtype: 'F32' as const, shape }]));
  const data = [...values.values()].map(({ value }) =>
    Buffer.from(value.buffer, value.byteOffset, value.byteLength),
  );
  return Buffer.concat([header, ...data]);
}

const trainedTo = (run: string): ServedRun['trained'] =>
  (['best', 'last'] as const).find((name) => hasCheckpoint(run, name)) ?? 'base';

/** The manifest as it is shown: where files lie on this machine is nobody's business. */
const shownManifest = (manifest: Manifest): Manifest => ({
  ...manifest,
  weights: { ...manifest.weights, folder: '../../weights' },
});

/** The base, its parts and its 8-bit copy. */
function weightsOnDisk(run: string, manifest: Manifest) {
  const folder = dirname(weightsPath(run, manifest));
  return weightFiles(manifest.weights).map((each) => ({ ...each, path: join(folder, each.file) }));
}

function runFiles(name: string, run: string, manifest: Manifest): [string, SiteFile][] {
  const at = (file: string) => `runs/${name}/${file}`;
  const graphs = served.filter((role) => manifest.graphs[role]).map((role) => graphFiles[role]);
  const tokenizer = join(packageRoot(), 'datasets', 'bert-base-uncased', 'tokenizer.json');
  const trained: SiteFile = {
    type: 'application/octet-stream',
    content: () => trainedFile(run, manifest),
    tag: () => {
      const which = trainedTo(run);
      return which === 'base'
        ? `base-${manifest.seed}-${manifest.weights.sha256.slice(0, 12)}`
        : statTag(checkpointPath(run, which));
    },
  };
  return [
    [at('manifest.json'), json(() => shownManifest(manifest))],
    [at('tokenizer.json'), onDisk(tokenizer)],
    [at('trained.safetensors'), trained],
    ...graphs.map((file): [string, SiteFile] => [at(file), onDisk(join(run, file))]),
    ...weightsOnDisk(run, manifest).map(({ file, path, sha256 }): [string, SiteFile] => [
      `weights/${file}`,
      { ...onDisk(path), tag: () => sha256.slice(0, 32) },
    ]),
  ];
}

function describe(name: string, run: string, manifest: Manifest): ServedRun {
  const { variant, preset, weights, parameters, graphs } = manifest;
  const answering = (['imageEncoder', 'questionEncoder', 'answerDecoder'] as const).map((r) => graphFiles[r]);
  const sizes = answering.map((file) => statSync(join(run, file)).size);
  return {
    name,
    path: `runs/${name}`,
    preset,
    variant: variant.name,
    placement: formatPlacement(placementOf(variant)),
    trained: trainedTo(run),
    trainable: parameters.trainable,
    tunable: graphs.training !== undefined,
    weights: {
      sha256: weights.sha256,
      bytes: weightsOnDisk(run, manifest).reduce((n, { path }) => n + statSync(path).size, 0),
    },
    otherBytes: sizes.reduce((a, b) => a + b, 4 * parameters.trainable),
  };
}

/** Names of run folders, told apart where two have the same. */
function namesOf(runs: readonly string[]): string[] {
  const names: string[] = [];
  for (const run of runs) {
    const name = basename(run).replaceAll(/[^\w.-]/g, '-');
    let free = name;
    for (let n = 2; names.includes(free); n++) free = `${name}-${n}`;
    names.push(free);
  }
  return names;
}

/**
 * The site of some runs: the page, ONNX Runtime, and of each run what answering and training need.
 *
 * @throws {FileError} for a folder that is no run, or a page that is not built.
 */
export function siteOf(runs: readonly string[]): Site {
  if (runs.length === 0)
    throw new UserError('there is no run', '--run', 'make one: build-graph --variant lora-r8');
  const names = namesOf(runs);
  const opened = runs.map((run, i) => ({ name: names[i]!, run, manifest: readManifest(run) }));
  const list = (): ServedRuns => ({
    format: 'mile-ort runs 1',
    runs: opened.map(({ name, run, manifest }) => describe(name, run, manifest)),
  });
  list(); // files that are missing are found now, not at the first visit
  return new Map([
    ...pageFiles(),
    ...runtimeEntries(),
    ['runs.json', json(list)] as const,
    ...opened.flatMap(({ name, run, manifest }) => runFiles(name, run, manifest)),
  ]);
}

export const contentOf = ({ content }: SiteFile): Uint8Array =>
  typeof content === 'string' ? readFile(content) : content();

/** All runs below a folder that answer questions, the newest first. */
export function answeringRuns(folder: string): string[] {
  const entries = existsSync(folder) ? readdirSync(folder) : [];
  return entries
    .map((name) => join(folder, name, 'manifest.json'))
    .filter((file) => existsSync(file))
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)
    .map((file) => dirname(file))
    .filter((run) => {
      try {
        readManifest(run);
        return true;
      } catch {
        return false; // an imported model, or damaged: named runs say why
      }
    });
}
