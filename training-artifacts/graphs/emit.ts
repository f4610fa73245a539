/** @file Writes the graphs and the manifest of one variant into a run folder. */
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { FileError, UserError } from '../../graph-builder/errors.js';
import { differentiate } from '../../graph-builder/gradients/differentiate.js';
import { verify } from '../../graph-builder/ir/graph.js';
import type { Graph, Parameter } from '../../graph-builder/ir/types.js';
import { checkConfig, type MissConfig, presetConfig } from '../../graph-builder/models/config.js';
import {
  answerDecoderGraph,
  imageEncoderGraph,
  logitsGraph,
  lossGraph,
  questionEncoderGraph,
} from '../../graph-builder/models/miss.js';
import { type ExternalTensor, writeOnnx } from '../../graph-builder/onnx/write.js';
import {
  applyVariant,
  countParameters,
  dropoutRates,
  type ParameterCounts,
  parseVariant,
  type Variant,
  type VariantOptions,
} from '../../graph-builder/variant.js';
import { asFileError, writeAtomic, writeJson } from '../files.js';
import { initialValues } from '../weights/initialise.js';
import { expandPretrained, hasPretrained, pretrainedRecord, sha256 } from '../weights/pretrained.js';
import {
  float32Tensor,
  type LazyTensor,
  withSafetensors,
  writeSafetensors,
} from '../weights/safetensors-file.js';
import { type GraphRole, graphFiles, type Manifest } from './manifest.js';

export interface BuildOptions extends VariantOptions {
  readonly preset: string;
  /** sizes that differ from the preset's */
  readonly sizes?: Partial<MissConfig>;
  readonly variant: string;
  /** 'pretrained', 'random' or a float32 .safetensors file with the reference's names; default: pretrained if one ships */
  readonly weights?: string;
  readonly normalisation?: Manifest['image']['normalisation'];
  readonly maxQuestionTokens?: number;
  /** draws random weights and the adapters' initial values */
  readonly seed?: number;
  /** dropout of modules that are not frozen; default: the reference's 0.1 */
  readonly moduleDropout?: number;
  /** copies the weights beside the graphs */
  readonly selfContained?: boolean;
}

/** What a variant is, before anything is written. */
export interface Plan {
  readonly preset: string;
  readonly config: MissConfig;
  readonly variant: Variant;
  readonly parameters: ParameterCounts;
  readonly base: Graph;
  readonly adapted: Graph;
}

const MAX_ANSWER_TOKENS = 32;
const MAX_QUESTION_TOKENS = 35;

/** @throws {UserError} for a number that a graph or manifest cannot hold. */
function checkOptions(
  { alpha, moduleDropout, maxQuestionTokens, seed }: BuildOptions,
  config: MissConfig,
): void {
  const check = (value: number | undefined, fits: (n: number) => boolean, flag: string, remedy: string) => {
    if (value !== undefined && !fits(value)) throw new UserError(`${value} does not fit`, flag, remedy);
  };
  const { maxPositions } = config;
  check(alpha, (n) => Number.isFinite(n) && n > 0, '--alpha', 'give a positive number, e.g. 32');
  check(
    moduleDropout,
    (n) => n >= 0 && n < 1,
    '--module-dropout',
    'give a number from 0 to below 1, e.g. 0.1',
  );
  check(seed, Number.isSafeInteger, '--seed', 'give a whole number, e.g. 0');
  check(
    maxQuestionTokens,
    (n) => Number.isInteger(n) && n >= 3 && n <= maxPositions,
    '--max-question-tokens',
    `give a whole number from 3 to ${maxPositions}`,
  );
}

/** Works a variant out: seconds, and no file is touched. @throws {UserError} for options that do not fit. */
export function planVariant(options: BuildOptions): Plan {
  const config = checkConfig({ ...presetConfig(options.preset), ...options.sizes });
  checkOptions(options, config);
  const base = lossGraph(config);
  const variant = parseVariant(options.variant, base.parameters, options);
  const adapted = applyVariant(base, variant, 'evaluation');
  return { preset: options.preset, config, variant, parameters: countParameters(adapted), base, adapted };
}

/** The graphs of a variant by role, each made when its turn comes. */
function graphsOf(
  { config, variant, adapted }: Plan,
  moduleDropout?: number,
): Record<GraphRole, () => Graph> {
  const serving = (graph: Graph) => () => applyVariant(graph, variant, 'serving');
  return {
    training: () => {
      const dropout = dropoutRates(variant, moduleDropout);
      const noisy = applyVariant(lossGraph(config, dropout), variant, 'training');
      return differentiate(noisy, { loss: noisy.outputs.loss! });
    },
    evaluation: () => adapted,
    forward: () => applyVariant(logitsGraph(config), variant, 'evaluation'),
    imageEncoder: serving(imageEncoderGraph(config)),
    questionEncoder: serving(questionEncoderGraph(config)),
    answerDecoder: serving(answerDecoderGraph(config)),
  };
}

interface BaseWeights {
  readonly path: string;
  readonly source: string;
  readonly normalisation: Manifest['image']['normalisation'];
}

/** Initial values of all base parameters, one tensor at a time. */
function randomWeights(path: string, base: Graph, seed: number): void {
  const tensors = base.parameters.map((p): [string, LazyTensor] => [
    p.name,
    {
      dtype: 'F32',
      shape: p.shape as readonly number[],
      bytes: () => float32Tensor([], initialValues(p, seed)).bytes(),
    },
  ]);
  writeSafetensors(path, new Map(tensors));
}

function baseWeights(folder: string, plan: Plan, options: BuildOptions): BaseWeights {
  const { preset, base } = plan;
  const { weights = hasPretrained(preset) && !options.sizes ? 'pretrained' : 'random', seed = 0 } = options;
  const normalisation = options.normalisation ?? 'imagenet';
  if (weights === 'random') {
    const path = join(folder, 'model.safetensors');
    randomWeights(path, base, seed);
    return { path, source: `random seed ${seed}`, normalisation };
  }
  if (weights === 'pretrained') {
    const record = pretrainedRecord(preset);
    return {
      path: expandPretrained(preset),
      source: `pretrained ${preset}`,
      normalisation: record.normalisation,
    };
  }
  return { path: resolve(weights), source: `file ${basename(weights)}`, normalisation };
}

/** @throws {FileError} naming the first parameter that the file lacks or has in another shape. */
function checkWeights(path: string, parameters: readonly Parameter[]): Map<string, ExternalTensor> {
  return withSafetensors(path, (file) => {
    const located = new Map<string, ExternalTensor>();
    for (const { name, shape } of parameters) {
      const { offset, length, shape: stored, dtype } = file.entry(name);
      if (dtype !== 'F32' || stored.join() !== shape.join()) {
        throw new FileError(
          `${name} is ${dtype} [${stored}], the model needs F32 [${shape}]`,
          path,
          'give weights of this preset in float32',
        );
      }
      located.set(name, { location: basename(path), offset, length });
    }
    return located;
  });
}

function manifestOf(
  plan: Plan,
  options: BuildOptions,
  base: BaseWeights,
  folder: string,
): Omit<Manifest, 'graphs'> {
  const { preset, config, variant, parameters, adapted } = plan;
  const known = new Set(plan.base.parameters.map((p) => p.name));
  return {
    format: 'mile-ort run 1',
    preset,
    config,
    variant,
    image: { normalisation: base.normalisation },
    text: {
      tokenizer: 'bert-base-uncased with [DEC] 30522 and [ENC] 30523',
      maxQuestionTokens: options.maxQuestionTokens ?? MAX_QUESTION_TOKENS,
      maxAnswerTokens: MAX_ANSWER_TOKENS,
    },
    weights: {
      file: basename(base.path),
      folder: dirname(base.path) === folder ? '.' : dirname(base.path),
      sha256: sha256(base.path),
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
 * Builds a run folder: graphs, manifest and, unless they lie elsewhere, weights. The folder appears whole or
 * not at all; `overwrite` replaces a trained run, once the new one is complete.
 *
 * @throws {UserError} for options that do not fit; {FileError} for weights that do not.
 */
export function emitVariant(options: BuildOptions, run: string, overwrite = false): Manifest {
  const plan = planVariant(options);
  const target = resolve(run);
  const folder = `${target}.tmp`;
  let made: string | undefined;
  try {
    checkTarget(target, run, overwrite);
    made = mkdirSync(dirname(target), { recursive: true });
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    const manifest = writeRun(plan, options, folder);
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

function writeRun(plan: Plan, options: BuildOptions, folder: string): Manifest {
  const found = baseWeights(folder, plan, options);
  const weights = checkWeights(found.path, plan.base.parameters);
  const base = options.selfContained ? { ...found, path: copyInto(folder, found.path) } : found;
  const graphs: Manifest['graphs'] = {};
  for (const [role, make] of Object.entries(graphsOf(plan, options.moduleDropout))) {
    const graph = verify(make());
    const file = graphFiles[role as GraphRole];
    const bytes = writeOnnx(graph, { name: role, weights: (p) => weights.get(p.name)! });
    writeAtomic(join(folder, file), bytes);
    const hash = createHash('sha256').update(bytes).digest('hex');
    graphs[role] = {
      file,
      sha256: hash,
      inputs: graph.inputs.map((v) => v.name),
      outputs: Object.keys(graph.outputs),
    };
  }
  const manifest: Manifest = { ...manifestOf(plan, options, base, folder), graphs };
  writeJson(join(folder, 'manifest.json'), manifest);
  return manifest;
}

function copyInto(folder: string, path: string): string {
  const copy = join(folder, basename(path));
  if (copy !== path) copyFileSync(path, copy);
  return copy;
}
