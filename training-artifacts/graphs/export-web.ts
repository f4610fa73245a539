/** @file A run as a folder that a browser can load: everything in it, weights as small as wanted. */
import { copyFileSync, cpSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, relative, resolve } from 'node:path';
import { packageRoot } from '../../datasets/package-root.js';
import { FileError, UserError } from '../../graph-builder/errors.js';
import { prune, verify } from '../../graph-builder/ir/graph.js';
import type { Graph, Parameter } from '../../graph-builder/ir/types.js';
import { writeOnnx } from '../../graph-builder/onnx/write.js';
import { halfWeights } from '../../graph-builder/rewrites/half-weights.js';
import { methodOf } from '../../graph-builder/rewrites/methods.js';
import { adaptersOf, type Variant } from '../../graph-builder/variant/variant.js';
import { checkpointPath, trainedValues } from '../checkpoint/checkpoint.js';
import { writeJson } from '../files.js';
import { toHalf } from '../weights/half.js';
import { int8Entries } from '../weights/int8-file.js';
import { sha256 } from '../weights/pretrained.js';
import {
  float32Tensor,
  type LazyTensor,
  type SafetensorsFile,
  withSafetensors,
  writeSafetensors,
} from '../weights/safetensors-file.js';
import { writeShards } from '../weights/shards.js';
import { cutsOf, graphsOf, makeRun, writeGraphs } from './emit.js';
import { type FrozenCompute, matricesOf, withFrozenCompute } from './frozen-compute.js';
import { type GraphRole, type Manifest, readManifest, weightsPath } from './manifest.js';
import { type MergeOptions, mergeRun } from './merge.js';
import { planOf } from './plan.js';

export const quantisations = ['none', 'fp16', 'int8'] as const;
export type Quantisation = (typeof quantisations)[number];

export interface WebExportOptions {
  /**
   * none: float32. fp16: matrices and tables are stored in float16 and computed with in float32. int8: products in
   * 8 bits as `frozenCompute` says, tables and layers that are left out as in fp16.
   */
  readonly quantize: Quantisation;
  /** of int8 */
  readonly frozenCompute?: FrozenCompute;
  /** also the graphs that train in the browser */
  readonly withTraining?: boolean;
  /** folds adapters and trained modules into the weights; default: only where a module is trained whole */
  readonly merge?: boolean;
  /** what is merged; default: the best, else the last */
  readonly checkpoint?: MergeOptions['checkpoint'];
  readonly overwrite?: boolean;
  /** largest weights file; default 900 MB */
  readonly shardBytes?: number;
}

/** A file of the folder. */
export interface WebFile {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** web.json: what a page downloads and checks. */
export interface WebManifest {
  readonly format: 'mile-ort web 1';
  readonly quantize: Quantisation;
  readonly form?: FrozenCompute['form'];
  readonly bytes: number;
  readonly files: readonly WebFile[];
}

const served: readonly GraphRole[] = ['imageEncoder', 'questionEncoder', 'answerDecoder'];

const isMergeable = (variant: Variant): boolean => adaptersOf(variant).every((s) => methodOf(s).merge);
const isTrainedWhole = ({ modules }: Variant): boolean =>
  Object.values(modules).some(({ method }) => method === 'full');

/** Vectors stay float32: they are small, and norms and biases are what half a precision hurts. */
const isMatrix = (p: Parameter): boolean => p.shape.length > 1;

/** The graphs in their final form, and the frozen tensors that they read. */
function exportedGraphs(manifest: Manifest, options: WebExportOptions) {
  const { quantize, frozenCompute, withTraining = false } = options;
  const plan = planOf(manifest.preset, manifest.config, () => manifest.variant);
  const cuts = withTraining ? cutsOf(plan, manifest.dropout) : new Map();
  const roles = Object.entries(graphsOf(plan, manifest.dropout, cuts, manifest)).filter(
    ([role]) => withTraining || served.includes(role as GraphRole),
  );
  const stored = new Map<string, Parameter>();
  const makers = roles.map(([role, make]) => {
    const compute = quantize === 'int8' ? frozenCompute : undefined;
    const computed = prune(withFrozenCompute(make(), compute));
    const smaller = (p: Parameter) =>
      quantize !== 'none' && isMatrix(p) && p.dtype === 'float32' && !isScale(p);
    const graph = verify(prune(halfWeights(computed, smaller, 'whole')));
    for (const p of graph.parameters) if (!p.trainable) stored.set(p.name, p);
    return [role, () => graph] as const;
  });
  const kept = manifest.cuts;
  return { plan, stored, makers: Object.fromEntries(makers), cuts: withTraining ? kept : {} };
}

/** Scales of 8-bit blocks are a matrix, too. */
const isScale = ({ name }: Parameter): boolean => name.endsWith('_scale');

/** float32 → float16. @throws {FileError} for a number beyond float16's range. */
function halfBytes(name: string, values: Float32Array, path: string): Uint8Array {
  const half = toHalf(values);
  if (half.every((h) => (h & 0x7fff) < 0x7c00)) return new Uint8Array(half.buffer);
  throw new FileError(`${name} has numbers beyond float16's range`, path, 'choose --quantize none');
}

/** The stored tensors in the order of the base, made one at a time. */
function tensorsOf(
  file: SafetensorsFile,
  base: Graph,
  stored: ReadonlyMap<string, Parameter>,
  compute: FrozenCompute | undefined,
): Map<string, LazyTensor> {
  const int8 = compute ? int8Entries(file, matricesOf(base), compute.form) : new Map<string, LazyTensor>();
  const tensors = new Map([...int8].filter(([name]) => stored.has(name)));
  for (const { name, shape, dtype } of stored.values()) {
    if (tensors.has(name)) continue;
    const half = dtype === 'float16';
    tensors.set(name, {
      dtype: half ? 'F16' : 'F32',
      shape: shape as readonly number[],
      bytes: () => (half ? halfBytes(name, file.float32(name), file.path) : file.bytes(name)),
    });
  }
  return tensors;
}

/** Trained tensors without the optimizer's moments, where answering looks for them. */
function writeTrained(run: string, manifest: Manifest, folder: string): void {
  if (manifest.trainable.length === 0) return;
  const values = [...trainedValues(run, manifest)];
  const tensors = values.map(([name, { shape, value }]) => [name, float32Tensor(shape, value)] as const);
  writeSafetensors(checkpointPath(folder, 'best'), new Map(tensors), {
    format: 'mile-ort trained tensors 1',
  });
  if (existsSync(join(run, 'adapter')))
    cpSync(join(run, 'adapter'), join(folder, 'adapter'), { recursive: true });
}

/** All files below a folder with sizes and hashes, and web.json with them. */
export function writeWebManifest(folder: string, { quantize, frozenCompute }: WebExportOptions): WebManifest {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((e) => e.isFile()).map((e) => join(e.parentPath, e.name));
  const files = paths.sort().map((path) => ({
    file: relative(folder, path).replaceAll('\\', '/'),
    bytes: statSync(path).size,
    sha256: sha256(path),
  }));
  const web: WebManifest = {
    format: 'mile-ort web 1',
    quantize,
    ...(quantize === 'int8' && frozenCompute && { form: frozenCompute.form }),
    bytes: files.reduce((n, { bytes }) => n + bytes, 0),
    files,
  };
  writeJson(join(folder, 'web.json'), web);
  return web;
}

function writeExport(run: string, folder: string, options: WebExportOptions): Manifest {
  const { frozenCompute: _, ...manifest } = readManifest(run);
  const { plan, stored, makers, cuts } = exportedGraphs(manifest, options);
  const compute = options.quantize === 'int8' ? options.frozenCompute : undefined;
  const { shards, located } = withSafetensors(weightsPath(run, manifest), (file) =>
    writeShards(folder, tensorsOf(file, plan.base, stored, compute), options.shardBytes),
  );
  const weights = ({ name }: Parameter) => located.get(name)!;
  const graphs = writeGraphs(folder, makers, (graph, name) => writeOnnx(graph, { name, weights }));
  const [first] = shards;
  const exported: Manifest = {
    ...manifest,
    weights: {
      file: first!.file,
      folder: '.',
      sha256: first!.sha256,
      source: `exported, ${options.quantize}, from ${manifest.weights.source}`,
      ...(shards.length > 1 && { shards: [...shards] }),
    },
    ...(compute && { frozenCompute: compute }),
    cuts,
    graphs,
  };
  writeJson(join(folder, 'manifest.json'), exported);
  writeTrained(run, manifest, folder);
  copyFileSync(
    join(packageRoot(), 'datasets', 'bert-base-uncased', 'tokenizer.json'),
    join(folder, 'tokenizer.json'),
  );
  writeWebManifest(folder, options);
  return exported;
}

/** @throws {UserError} when the folder is a run, or an export that is not to be replaced. */
function checkOut(run: string, out: string, overwrite: boolean): void {
  if (resolve(run) === resolve(out))
    throw new UserError('the export would replace the run it is made from', out, 'choose another --out');
  const has = (file: string): boolean => existsSync(join(out, file));
  if (has('manifest.json') && !has('web.json'))
    throw new UserError('the folder is a run, not an export', out, 'choose another --out');
  if (has('web.json') && !overwrite)
    throw new UserError('there is an export already', out, 'choose another --out, or add --overwrite');
}

/**
 * Writes a run into a folder of its own: graphs that answer (and train, if asked for), weights in files below 1 GB,
 * trained tensors, tokenizer, `manifest.json` as every run has it, and `web.json` with sizes and hashes. Node answers
 * from it as from any run.
 *
 * A module that is trained whole has no frozen weights to make small: such runs are merged first, where their adapters
 * allow it.
 *
 * @throws {UserError} when a method cannot be merged; {FileError} for a missing or damaged run.
 */
export function exportWeb(run: string, out: string, options: WebExportOptions): Manifest {
  const { variant } = readManifest(run);
  checkOut(run, out, options.overwrite ?? false);
  const merges = options.merge ?? (isTrainedWhole(variant) && isMergeable(variant));
  if (!merges) return makeRun(out, true, (folder) => writeExport(run, folder, options));
  const folder = mkdtempSync(join(tmpdir(), 'mile-ort-merge-'));
  try {
    const merged = join(folder, basename(run));
    mergeRun(run, merged, { checkpoint: options.checkpoint ?? 'auto' });
    return makeRun(out, true, (target) => writeExport(merged, target, options));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
