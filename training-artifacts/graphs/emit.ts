/** @file Writes the graphs and the manifest of one variant into a run folder. */
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { UserError } from '../../graph-builder/errors.js';
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { quotient } from '../../graph-builder/ir/dim.js';
import { mapValues, verify } from '../../graph-builder/ir/graph.js';
import { leavesLast } from '../../graph-builder/ir/order.js';
import type { Graph } from '../../graph-builder/ir/types.js';
import { imageTokens } from '../../graph-builder/models/config.js';
import {
  type CutLevel,
  cutLevels,
  cutMiss,
  type LossGraphs,
  type MissCut,
} from '../../graph-builder/models/cuts.js';
import { logitsGraph, lossGraph, REFERENCE_DROPOUT } from '../../graph-builder/models/miss.js';
import { adamWConstants, adamWGraph, type OptimizedShape } from '../../graph-builder/models/optimizer.js';
import { halfPrecision } from '../../graph-builder/rewrites/half-precision.js';
import { type RecomputeMode, recompute } from '../../graph-builder/rewrites/recompute.js';
import { applyVariant, dropoutRates } from '../../graph-builder/variant/variant.js';
import { initialTensors } from '../checkpoint/checkpoint.js';
import { asFileError, writeAtomic, writeJson } from '../files.js';
import { ORT_TRAINING, writeOrtTraining } from '../ort-training/write.js';
import { sha256 } from '../weights/pretrained.js';
import { type BaseWeights, baseWeights, locateWeights } from './base-weights.js';
import { cutRoles, EVALUATION_CUT } from './cut-roles.js';
import { int8Copy, withFrozenCompute } from './frozen-compute.js';
import { type GraphRole, graphFiles, type Manifest } from './manifest.js';
import { type LocatedWeight, modelBytes } from './model-bytes.js';
import { type BuildOptions, MAX_QUESTION_TOKENS, type Plan, planVariant } from './plan.js';
import { servingGraph, servingRoles } from './serving.js';

const MAX_ANSWER_TOKENS = 32;

/** Longest texts of a run, word pieces. */
export const tokenLimits = ({ maxQuestionTokens = MAX_QUESTION_TOKENS }: BuildOptions) => ({
  maxQuestionTokens,
  maxAnswerTokens: MAX_ANSWER_TOKENS,
});

/** The forward graph that training differentiates, dropout included. */
function noisyForward(
  { config, variant }: Plan,
  { rate, frozenToo }: Manifest['dropout'],
  images: 'images' | 'batch' = 'images',
): Graph {
  const rates = dropoutRates(variant, rate, frozenToo);
  return applyVariant(lossGraph(config, rates, images), variant, 'training');
}

type Form = Pick<Manifest, 'recompute' | 'precision' | 'frozenCompute'>;

/** Image tokens from which rebuilding is the default: measured at 901 and 197; at 101 it saves little. */
const LONG = 150;

/**
 * What is cheap is rebuilt where an image encoder of many tokens has gradients: at miss-base, LoRA P/P/P, 1.7 GB less in the
 * same time; at miss-small, batch 20, half the memory for 8% more time.
 */
const defaultRecompute = ({ config, variant }: Plan): RecomputeMode =>
  imageTokens(config) >= LONG && variant.modules.visual_encoder.method !== 'frozen' ? 'selective' : 'none';

const withGradients = (forward: Graph, form: Form): Graph => {
  const both = differentiate(forward, { loss: forward.outputs.loss! });
  return leavesLast(halfPrecision(recompute(both, form.recompute), form.precision));
};

/** AdamW over what a variant trains, for devices that keep these tensors. */
const optimizerOf = ({ adapted }: Plan): Graph => {
  const trained = adapted.parameters.filter((p) => p.trainable);
  const shapes = trained.map((p): OptimizedShape => ({ name: p.name, shape: p.shape as readonly number[] }));
  return adamWGraph(shapes, adamWConstants);
};

/** The graphs of a variant by role, each made when its turn comes; without anything trainable none trains. */
export function graphsOf(
  plan: Plan,
  dropout: Manifest['dropout'],
  cuts: Cuts,
  form: Form,
): Partial<Record<GraphRole, () => Graph>> {
  const { config, variant, adapted, parameters } = plan;
  const evaluationCut = cuts.has('vit') ? cutMiss(() => adapted, 'vit') : undefined;
  const serving = servingRoles.map((role) => [role, () => servingGraph(role, config, variant)] as const);
  const cutGraphs = [...cuts].flatMap(([level, { frozen, rest }]) => [
    [cutRoles[level].frozen, () => frozen] as const,
    [cutRoles[level].training, () => withGradients(rest, form)] as const,
  ]);
  return {
    ...(parameters.trainable > 0 && {
      training: () => withGradients(noisyForward(plan, dropout), form),
      optimizer: () => optimizerOf(plan),
    }),
    evaluation: () => adapted,
    forward: () => applyVariant(logitsGraph(config), variant, 'evaluation'),
    ...Object.fromEntries(serving),
    ...Object.fromEntries(cutGraphs),
    ...(evaluationCut && { [EVALUATION_CUT]: () => evaluationCut.rest }),
  };
}

type Cuts = ReadonlyMap<CutLevel, MissCut>;

/** What can be kept of the frozen modules, by level. */
export function cutsOf(plan: Plan, dropout: Manifest['dropout']): Cuts {
  if (plan.parameters.trainable === 0) return new Map();
  const forward: LossGraphs = (images) => noisyForward(plan, dropout, images);
  const found = cutLevels.map((level) => [level, cutMiss(forward, level)] as const);
  return new Map(found.filter((e): e is readonly [CutLevel, MissCut] => e[1] !== undefined));
}

/** Sizes of features as numbers: '128*question_tokens' is 128 a token. */
const layoutOf = ({ per, features }: MissCut): NonNullable<Manifest['cuts']['vit']> => ({
  per,
  features: features.map(({ name, size }) => {
    const each = quotient(size, 'question_tokens');
    const perToken = typeof each === 'number';
    return { name, size: perToken ? each : (size as number), perToken };
  }),
});

function manifestOf(
  plan: Plan,
  options: BuildOptions,
  base: BaseWeights & { readonly sha256: string },
  folder: string,
): Omit<Manifest, 'graphs' | 'dropout' | 'cuts' | keyof Form> {
  const { preset, config, variant, parameters, adapted } = plan;
  const known = new Set(plan.base.parameters.map((p) => p.name));
  return {
    format: 'mile-ort run 2',
    preset,
    config,
    variant,
    image: { normalisation: base.normalisation },
    text: {
      tokenizer: 'bert-base-uncased with [DEC] 30522 and [ENC] 30523',
      ...tokenLimits(options),
    },
    weights: {
      file: basename(base.path),
      folder: dirname(base.path) === folder ? '.' : dirname(base.path),
      sha256: base.sha256,
      source: base.source,
    },
    seed: options.seed ?? 0,
    parameters,
    trainable: adapted.parameters
      .filter((p) => p.trainable)
      .map(({ name, shape, init }) => ({ name, shape: shape as number[], init, added: !known.has(name) })),
  };
}

/** @throws {UserError} when the folder is not this program's to replace. */
function checkTarget(target: string, run: string, overwrite: boolean): void {
  if (!overwrite && existsSync(join(target, 'checkpoint'))) {
    throw new UserError(
      'the run has a checkpoint already',
      run,
      'choose another --name, or delete the folder if its training is not needed',
    );
  }
  if (existsSync(target) && !existsSync(join(target, 'manifest.json')) && readdirSync(target).length > 0) {
    throw new UserError('the folder has files and is not a run', run, 'choose another --name or --out');
  }
}

/** Deletes empty folders from `folder` up to `first`. */
function removeEmpty(folder: string, first: string): void {
  try {
    for (let at = folder; at.startsWith(first); at = dirname(at)) rmdirSync(at);
  } catch {
    // another run lies in it
  }
}

/**
 * Makes a folder that appears whole or not at all; `overwrite` replaces a trained run, once the new one is
 * complete.
 *
 * @throws {UserError} when the folder is not this program's to replace; {FileError} when it cannot be written.
 */
export function makeRun<M extends Pick<Manifest, 'weights'>>(
  run: string,
  overwrite: boolean,
  write: (folder: string) => M,
): M {
  const target = resolve(run);
  const folder = `${target}.tmp`;
  let made: string | undefined;
  try {
    checkTarget(target, run, overwrite);
    made = mkdirSync(dirname(target), { recursive: true });
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    const manifest = write(folder);
    if (
      resolve(folder, manifest.weights.folder)
        .concat(sep)
        .startsWith(target + sep)
    ) {
      throw new UserError(
        'the weights lie in the folder that the run replaces',
        join(manifest.weights.folder, manifest.weights.file),
        'choose another --name, or add --self-contained to copy them',
      );
    }
    rmSync(target, { recursive: true, force: true });
    renameSync(folder, target);
    return manifest;
  } catch (error) {
    if (existsSync(folder)) rmSync(folder, { recursive: true });
    if (made) removeEmpty(dirname(target), made);
    throw asFileError(error, run, 'write');
  }
}

/**
 * Builds a run folder: graphs, manifest and, unless they lie elsewhere, weights.
 *
 * @throws {UserError} for options that do not fit; {FileError} for weights that do not.
 */
export function emitVariant(options: BuildOptions, run: string, overwrite = false): Manifest {
  const plan = planVariant(options);
  return emitPlan(plan, options, run, (folder) => baseWeights(folder, plan, options), overwrite);
}

/** Builds the run folder of a plan; `findWeights` may write them into the folder that it gets. */
export function emitPlan(
  plan: Plan,
  options: BuildOptions,
  run: string,
  findWeights: (folder: string) => BaseWeights,
  overwrite = false,
): Manifest {
  return makeRun(run, overwrite, (folder) => writeRun(plan, options, folder, findWeights(folder)));
}

function writeRun(plan: Plan, options: BuildOptions, folder: string, found: BaseWeights): Manifest {
  const weights = locateWeights(found.path, plan.base.parameters, found.types);
  const path = options.selfContained ? copyInto(folder, found.path) : found.path;
  const base = { ...found, path, sha256: sha256(path) };
  const dropout = {
    rate: options.moduleDropout ?? REFERENCE_DROPOUT,
    frozenToo: options.referenceDropout ?? false,
  };
  const { frozenCompute } = options;
  const form: Form = {
    recompute: options.recompute ?? defaultRecompute(plan),
    precision: options.precision ?? 'float32',
    ...(frozenCompute && { frozenCompute }),
  };
  const int8 = frozenCompute && int8Copy(base, plan.base, frozenCompute.form);
  const cuts = cutsOf(plan, dropout);
  const stored = new Map<string, LocatedWeight>([...weights, ...(int8?.located ?? [])]);
  const makers = mapValues(
    graphsOf(plan, dropout, cuts, form),
    (make) => () => withFrozenCompute(make(), frozenCompute),
  );
  const graphs = writeGraphs(folder, makers, (graph, role) => modelBytes(graph, role, stored));
  const layouts = Object.fromEntries([...cuts].map(([level, cut]) => [level, layoutOf(cut)]));
  const parts = manifestOf(plan, options, base, folder);
  const manifest: Manifest = {
    ...parts,
    weights: { ...parts.weights, ...(int8 && { int8: int8.record }) },
    dropout,
    ...form,
    cuts: layouts,
    graphs,
  };
  writeJson(join(folder, 'manifest.json'), manifest);
  if (options.target === 'ort-training') {
    const trained = initialTensors(folder, manifest);
    writeOrtTraining(join(folder, ORT_TRAINING), { forward: plan.adapted, weights: base.path, trained });
  }
  return manifest;
}

/** Writes each graph when its turn comes. */
export function writeGraphs(
  folder: string,
  makers: Partial<Record<GraphRole, () => Graph>>,
  bytesOf: (graph: Graph, role: string) => Uint8Array,
): Manifest['graphs'] {
  const graphs: Manifest['graphs'] = {};
  for (const [role, make] of Object.entries(makers)) {
    const graph = verify(make());
    const file = graphFiles[role as GraphRole];
    const bytes = bytesOf(graph, role);
    writeAtomic(join(folder, file), bytes);
    graphs[role] = {
      file,
      sha256: createHash('sha256').update(bytes).digest('hex'),
      inputs: graph.inputs.map((v) => v.name),
      outputs: Object.keys(graph.outputs),
    };
  }
  return graphs;
}

function copyInto(folder: string, path: string): string {
  const copy = join(folder, basename(path));
  if (copy !== path) copyFileSync(path, copy);
  return copy;
}
