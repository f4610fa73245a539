/** @file A run folder from somebody else's ONNX model: its weights, its adapters, its backward pass. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { FileError } from '../../graph-builder/errors.js';
import { verify } from '../../graph-builder/ir/graph.js';
import type { Graph, Parameter } from '../../graph-builder/ir/types.js';
import { type ReadModel, readOnnx } from '../../graph-builder/onnx/read.js';
import { writeOnnx } from '../../graph-builder/onnx/write.js';
import type { AdapterOptions } from '../../graph-builder/rewrites/adapter-method.js';
import { nameWeights } from '../../graph-builder/variant/anonymous-weights.js';
import {
  adaptImported,
  type LossName,
  parseImported,
  trainingOf,
  withLoss,
} from '../../graph-builder/variant/imported.js';
import { readFile, writeAtomic, writeJson } from '../files.js';
import { sha256 } from '../weights/pretrained.js';
import {
  type LazyTensor,
  readRange,
  withSafetensors,
  writeSafetensors,
} from '../weights/safetensors-file.js';
import { locateWeights, OWN_WEIGHTS } from './base-weights.js';
import { makeRun } from './emit.js';
import { type GraphRole, graphFiles, type ImportedManifest } from './manifest.js';

export interface ImportOptions extends AdapterOptions {
  /** the .onnx file */
  readonly from: string;
  readonly variant: string;
  readonly loss: LossName;
  /** output that the loss compares with the labels; default: the first */
  readonly output?: string;
  readonly seed?: number;
}

export interface ImportPlan {
  readonly model: ReadModel;
  readonly tuning: ImportedManifest['tuning'];
  readonly adapted: Graph;
  readonly withLoss: Graph;
  readonly training: Graph;
  readonly parameters: ImportedManifest['parameters'];
}

const sizeOf = ({ shape }: Parameter): number => (shape as readonly number[]).reduce((p, n) => p * n, 1);

/** The model with its weights under their modules' names where the exporter left a trace of them. */
function named(model: ReadModel): ReadModel {
  const { graph, renamed } = nameWeights(model.graph);
  const rename = <T>(entries: ReadonlyMap<string, T>) =>
    new Map([...entries].map(([name, value]) => [renamed.get(name) ?? name, value] as const));
  return { ...model, graph, inline: rename(model.inline), weights: rename(model.weights) };
}

/**
 * Reads the model, inserts adapters, adds loss and backward pass; writes nothing.
 *
 * @throws {FileError} for a file that cannot be read; {UserError} naming what has no gradient.
 */
export function planImport(options: ImportOptions): ImportPlan {
  const model = named(readOnnx(readFile(options.from), options.from, { inlineWeights: true }));
  const tuning = parseImported(model.graph, options.variant, options);
  const adapted = verify(adaptImported(model.graph, tuning));
  const lossGraph = verify(withLoss(adapted, options.loss, options.output));
  const total = adapted.parameters.reduce((n, p) => n + sizeOf(p), 0);
  const trainable = adapted.parameters.reduce((n, p) => n + (p.trainable ? sizeOf(p) : 0), 0);
  return {
    model,
    tuning,
    adapted,
    withLoss: lossGraph,
    training: trainingOf(lossGraph),
    parameters: { trainable, total, percent: (100 * trainable) / total },
  };
}

/** Bytes of a weight: in the ONNX file itself, or at its place in the file beside it. */
function weightBytes({ model }: ImportPlan, from: string, { name, shape }: Parameter): Uint8Array {
  const inline = model.inline.get(name);
  if (inline) return inline;
  const { location, offset, length } = model.weights.get(name)!;
  const file = join(dirname(resolve(from)), location);
  if (location !== basename(location) || !existsSync(file))
    throw new FileError(`the external data of ${name} is not there`, file, 'put the file beside the model');
  const bytes = 4 * (shape as readonly number[]).reduce((p, n) => p * n, 1);
  if (length !== 0 && length !== bytes)
    throw new FileError(
      `${name} has ${length} bytes, its shape [${shape}] needs ${bytes}`,
      from,
      'export the model again',
    );
  return readRange(file, offset, bytes);
}

/** All base weights of the model in one safetensors file, one tensor in memory at a time. */
function writeWeights(path: string, plan: ImportPlan, from: string): void {
  const tensors = plan.model.graph.parameters.map((p): [string, LazyTensor] => [
    p.name,
    { dtype: 'F32', shape: p.shape as readonly number[], bytes: () => weightBytes(plan, from, p) },
  ]);
  writeSafetensors(path, new Map(tensors), { format: 'pt' });
}

/** Builds the run folder of an imported model; it appears whole or not at all. */
export function emitImport(
  options: ImportOptions,
  run: string,
  plan: ImportPlan = planImport(options),
): ImportedManifest {
  return makeRun(run, false, (folder) => {
    const path = join(folder, OWN_WEIGHTS);
    writeWeights(path, plan, options.from);
    const weights = locateWeights(path, plan.model.graph.parameters);
    const roles = { training: plan.training, evaluation: plan.withLoss, forward: plan.adapted };
    const graphs: ImportedManifest['graphs'] = {};
    for (const [role, graph] of Object.entries(roles)) {
      const file = graphFiles[role as GraphRole];
      const bytes = writeOnnx(graph, { name: role, weights: (p) => weights.get(p.name)! });
      writeAtomic(join(folder, file), bytes);
      graphs[role] = {
        file,
        sha256: createHash('sha256').update(bytes).digest('hex'),
        inputs: graph.inputs.map((v) => v.name),
        outputs: Object.keys(graph.outputs),
      };
    }
    const manifest = manifestOf(plan, options, path, graphs);
    writeJson(join(folder, 'manifest.json'), manifest);
    return manifest;
  });
}

function manifestOf(
  plan: ImportPlan,
  options: ImportOptions,
  path: string,
  graphs: ImportedManifest['graphs'],
): ImportedManifest {
  const { from, variant, loss, output, seed = 0 } = options;
  const base = withSafetensors(path, ({ header }) => new Set(header.tensors.keys()));
  return {
    format: 'mile-ort imported run 1',
    source: { file: basename(from), sha256: sha256(from) },
    variant,
    tuning: plan.tuning,
    loss,
    output: output ?? Object.keys(plan.adapted.outputs)[0]!,
    inputs: plan.training.inputs
      .filter(({ name }) => name !== 'loss_scale')
      .map(({ name, dtype, shape }) => ({ name, dtype, shape: [...shape] })),
    weights: { file: OWN_WEIGHTS, folder: '.', sha256: sha256(path), source: `file ${basename(from)}` },
    seed,
    parameters: plan.parameters,
    trainable: plan.adapted.parameters
      .filter((p) => p.trainable)
      .map(({ name, shape, init }) => ({ name, shape: shape as number[], init, added: !base.has(name) })),
    graphs,
  };
}
