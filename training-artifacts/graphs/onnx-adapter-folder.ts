/** @file A trained run for ONNX Runtime's multi-LoRA sessions in Python, C++, C# or Java. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { UserError } from '../../graph-builder/errors.js';
import { verify } from '../../graph-builder/ir/graph.js';
import type { Parameter } from '../../graph-builder/ir/types.js';
import type { AdapterTensors } from '../../graph-builder/rewrites/adapter-method.js';
import { adaptersOf, servedTensors } from '../../graph-builder/variant/variant.js';
import { encodeOnnxAdapter } from '../adapters/onnx-adapter.js';
import { type CheckpointName, initialTensors, trainedValues } from '../checkpoint/checkpoint.js';
import { asFileError, writeAtomic } from '../files.js';
import { locateWeights } from './base-weights.js';
import { graphFiles, type Manifest, readManifest, weightsPath } from './manifest.js';
import { modelBytes, type StoredWeights, storedTypes } from './model-bytes.js';
import { planOf } from './plan.js';
import { type ServingRole, servingGraph, servingRoles } from './serving.js';

type Values = ReadonlyMap<string, { readonly shape: readonly number[]; readonly value: Float32Array }>;

/** Trained values as the serving graphs take them. */
function served(values: Values, { variant, config }: Manifest): AdapterTensors {
  const tensors = new Map([...values].map(([name, { shape, value }]) => [name, { shape, data: value }]));
  return servedTensors(tensors, variant, config.textHeads);
}

/** @throws {UserError} for a variant whose graphs have no adapter to leave out. */
function checkVariant({ variant, trainable }: Manifest, run: string): void {
  if (trainable.length === 0)
    throw new UserError('nothing is trained in this run', run, 'give a run with a T or a P in its placement');
  const prefix = adaptersOf(variant).find((settings) => 'tokens' in settings);
  if (prefix)
    throw new UserError(
      `${prefix.method} cannot be an .onnx_adapter: its entries stand in the decoder's cache, and no value of them leaves the base as it is`,
      run,
      'leave --format out: the PEFT folder holds it',
    );
}

interface Written {
  readonly graph: string;
  /** absent where the graph takes nothing that is trained */
  readonly adapter?: string;
}

/** One graph with the base's values as defaults, and its adapter. */
function writeRole(
  folder: string,
  role: ServingRole,
  { config, variant }: Manifest,
  weights: StoredWeights,
  { initial, trained }: { readonly initial: AdapterTensors; readonly trained: AdapterTensors },
): Written {
  const graph = verify(servingGraph(role, config, variant));
  // a T module's defaults stay in the base weights; those of adapters are small
  const defaults = ({ name }: Parameter) => weights.get(name) ?? initial.get(name)!;
  const file = graphFiles[role];
  writeAtomic(join(folder, file), modelBytes(graph, role, weights, { defaults }));
  const names = graph.parameters.filter((p) => p.trainable).map((p) => p.name);
  if (names.length === 0) return { graph: file };
  const adapter = file.replace(/onnx$/, 'onnx_adapter');
  const own = new Map(names.map((name) => [name, trained.get(name)!]));
  writeAtomic(join(folder, adapter), encodeOnnxAdapter(own));
  return { graph: file, adapter };
}

/**
 * Writes the three graphs that answer questions, the base weights and an `.onnx_adapter` for each graph that takes
 * trained tensors; the folder appears whole or not at all.
 *
 * These graphs differ from a run's in one thing: trained tensors have defaults, the base's own values. Python's
 * onnxruntime asks for all inputs without default before it looks at active adapters. Without an adapter they answer
 * as the base; ranks are symbolic: adapters of several runs on the same sites work with one folder's graphs.
 * Beside them lies a copy of the base weights, which the graphs name.
 *
 * @throws {UserError} for prefixes, and when the folder exists; {FileError} for a missing or damaged run.
 */
export function writeOnnxAdapterFolder(
  run: string,
  folder: string,
  checkpoint: CheckpointName | 'base' | 'auto' = 'auto',
): readonly Written[] {
  const manifest = readManifest(run);
  checkVariant(manifest, run);
  const trained = served(trainedValues(run, manifest, checkpoint), manifest);
  const added = manifest.trainable.filter((t) => t.added);
  const initial = served(initialTensors(run, { ...manifest, trainable: added }), manifest);
  const path = weightsPath(run, manifest);
  const { base } = planOf(manifest.preset, manifest.config, () => manifest.variant);
  const weights = locateWeights(path, base.parameters, storedTypes);
  const temporary = `${folder}.tmp`;
  try {
    if (existsSync(folder) && readdirSync(folder).length > 0)
      throw new UserError('the folder has files already', folder, 'choose another --out, or delete it');
    rmSync(temporary, { recursive: true, force: true });
    mkdirSync(temporary, { recursive: true });
    const written = servingRoles.map((role) =>
      writeRole(temporary, role, manifest, weights, { initial, trained }),
    );
    copyFileSync(path, join(temporary, basename(path)));
    mkdirSync(dirname(folder), { recursive: true });
    rmSync(folder, { recursive: true, force: true });
    renameSync(temporary, folder);
    return written;
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    throw asFileError(error, folder, 'write');
  }
}
