/** @file Bases and adapters on disk, ready to answer. */
import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { FileError, UserError } from '../../graph-builder/errors.js';
import { type MissConfig, presetConfig } from '../../graph-builder/models/config.js';
import { lossGraph } from '../../graph-builder/models/miss.js';
import { readAdapterFolder } from '../../training-artifacts/adapters/peft-folder.js';
import type { Adapter } from '../../training-artifacts/adapters/stored-adapter.js';
import { locateWeights } from '../../training-artifacts/graphs/base-weights.js';
import { type Manifest, readManifest, weightsPath } from '../../training-artifacts/graphs/manifest.js';
import { storedTypes } from '../../training-artifacts/graphs/model-bytes.js';
import { MAX_QUESTION_TOKENS } from '../../training-artifacts/graphs/plan.js';
import { expandPretrained, pretrainedRecord } from '../../training-artifacts/weights/pretrained.js';
import { ServedModel } from '../core/served-model.js';
import { openSession } from './ort.js';

type Normalisation = Manifest['image']['normalisation'];

/** A run, of which only the base is used, or a preset with its weights. */
export type ModelSource =
  | { readonly run: string }
  | {
      readonly preset: string;
      /** 'pretrained' or a .safetensors file; default: pretrained */
      readonly weights?: string | undefined;
      /** of images, for a file; default: imagenet */
      readonly normalisation?: Normalisation | undefined;
    };

interface Base {
  readonly config: MissConfig;
  /** the weights' file */
  readonly path: string;
  /** as adapters name it in `base_model_name_or_path` */
  readonly source: string;
  readonly normalisation: Normalisation;
  readonly maxQuestionTokens: number;
}

export interface LoadedModel extends Base {
  readonly model: ServedModel;
}

function baseOf(source: ModelSource): Base {
  if ('run' in source) {
    const { config, image, text, weights } = readManifest(source.run);
    return {
      config,
      path: weightsPath(source.run, { weights }),
      source: weights.source,
      normalisation: image.normalisation,
      maxQuestionTokens: text.maxQuestionTokens,
    };
  }
  const { preset, weights = 'pretrained', normalisation = 'imagenet' } = source;
  const shared = { config: presetConfig(preset), maxQuestionTokens: MAX_QUESTION_TOKENS };
  if (weights === 'random')
    throw new UserError('random weights answer nothing', '--weights', 'give a file, or leave it out');
  if (weights !== 'pretrained')
    return { ...shared, path: resolve(weights), source: `file ${basename(weights)}`, normalisation };
  const path = expandPretrained(preset);
  return {
    ...shared,
    path,
    source: `pretrained ${preset}`,
    normalisation: pretrainedRecord(preset).normalisation,
  };
}

/**
 * Opens a base: adapters come with `loadAdapter`. Its weights stay mapped from their file, once for all sessions.
 *
 * @throws {FileError} for a missing or damaged run or weights file.
 */
export function loadModel(source: ModelSource, threads?: number): LoadedModel {
  const base = baseOf(source);
  const weights = locateWeights(base.path, lossGraph(base.config).parameters, storedTypes);
  const options = { weightsFolder: dirname(base.path), ...(threads && { threads }) };
  const model = new ServedModel({
    config: base.config,
    weights,
    open: (_role, graph) => openSession(graph, options),
  });
  return { ...base, model };
}

/** The folder of a run that holds its adapter. */
const ADAPTER = 'adapter';

/** An adapter's folder: the one that is given, or the one in a run that is given. */
export function adapterFolder(path: string): string {
  if (!existsSync(join(path, 'manifest.json'))) return path;
  if (existsSync(join(path, ADAPTER))) return join(path, ADAPTER);
  throw new FileError('the run has no adapter yet', path, `train it, or: ort-weights export-adapter ${path}`);
}

/** Names of adapters: the folders', or the runs' that they lie in; whole paths where two would have one name. */
export function adapterLabels(folders: readonly string[]): string[] {
  const names = folders.map((folder) => {
    const path = resolve(folder);
    return basename(path) === ADAPTER ? basename(dirname(path)) : basename(path);
  });
  return names.map((name, i) => (names.indexOf(name) === names.lastIndexOf(name) ? name : folders[i]!));
}

/** How this program names bases; other programs' names say nothing here. */
const OWN_BASE = /^(pretrained|random|file|merged) /;

/** What to tell when an adapter says that it was trained on another base of the same sizes. */
export function baseMismatch({ baseModels }: Adapter, { source }: Pick<Base, 'source'>): string | undefined {
  const other = baseModels.find((name) => OWN_BASE.test(name) && name !== source);
  return (
    other && `it was trained on the base '${other}', this one is '${source}': its answers mean little here`
  );
}

/** Loads an adapter's folder. @throws {FileError} when it is damaged or belongs to another base. */
export async function loadAdapterFolder({ model, source }: LoadedModel, label: string, folder: string) {
  const started = performance.now();
  const adapter = readAdapterFolder(folder);
  const { newSessions } = await model.loadAdapter(label, adapter, folder);
  const warning = baseMismatch(adapter, { source });
  return { newSessions, loadMs: performance.now() - started, ...(warning && { warning }) };
}
