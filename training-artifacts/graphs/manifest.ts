/** @file manifest.json: what a run folder holds. */
import { existsSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { z } from 'zod';
import { normalisationNames } from '../../datasets/images/normalise.js';
import { FileError } from '../../graph-builder/errors.js';
import type { MissConfig } from '../../graph-builder/models/config.js';
import { featureOwners } from '../../graph-builder/models/cuts.js';
import { lossGraph } from '../../graph-builder/models/miss.js';
import { precisions } from '../../graph-builder/rewrites/half-precision.js';
import { recomputeModes } from '../../graph-builder/rewrites/recompute.js';
import { lossNames } from '../../graph-builder/variant/imported.js';
import type { Variant } from '../../graph-builder/variant/variant.js';
import { readJson } from '../files.js';
import { expandPretrained } from '../weights/pretrained.js';
import { checkUnchanged } from '../weights/unchanged.js';
import { int8Copy } from './frozen-compute.js';
import {
  count,
  frozenComputeSchema,
  graphsSchema,
  importedTuningSchema,
  moduleTuningSchema,
  size,
  trainableSchema,
  weightsSchema,
} from './manifest-parts.js';
import { weightFiles } from './weight-files.js';

const cut = z.strictObject({
  per: z.enum(featureOwners),
  /** numbers an item, or a token of it */
  features: z.array(z.strictObject({ name: z.string(), size, perToken: z.boolean() })),
});

/** Files of the graphs, by role. */
export const graphFiles = {
  training: 'training_model.onnx',
  evaluation: 'eval_model.onnx',
  optimizer: 'optimizer_model.onnx',
  forward: 'model.onnx',
  imageEncoder: 'image_encoder.onnx',
  questionEncoder: 'question_encoder.onnx',
  answerDecoder: 'answer_decoder.onnx',
  frozenVit: 'frozen_model.onnx',
  trainingVit: 'training_cut_model.onnx',
  evaluationVit: 'eval_cut_model.onnx',
  frozenKv: 'frozen_kv_model.onnx',
  trainingKv: 'training_kv_model.onnx',
} as const;
export type GraphRole = keyof typeof graphFiles;

export const manifestSchema = z.strictObject({
  format: z.literal('mile-ort run 2'),
  preset: z.string(),
  config: z.strictObject({
    imageSize: size,
    patchSize: size,
    hidden: size,
    intermediate: size,
    visionLayers: size,
    visionHeads: size,
    textLayers: size,
    textHeads: size,
    vocab: size,
    maxPositions: size,
    labelSmoothing: z.number(),
  }) satisfies z.ZodType<MissConfig>,
  variant: z.strictObject({
    name: z.string(),
    modules: z.strictObject({
      visual_encoder: moduleTuningSchema,
      text_encoder: moduleTuningSchema,
      text_decoder: moduleTuningSchema,
    }),
  }) satisfies z.ZodType<Variant>,
  image: z.strictObject({ normalisation: z.enum(normalisationNames) }),
  text: z.strictObject({ tokenizer: z.string(), maxQuestionTokens: size, maxAnswerTokens: size }),
  weights: weightsSchema,
  /** draws the initial values of adapters */
  seed: z.number().int(),
  /** dropout of the modules while training, and whether frozen ones have it, too */
  dropout: z.strictObject({ rate: z.number(), frozenToo: z.boolean() }),
  /** what the backward pass of the training graphs rebuilds */
  recompute: z.enum(recomputeModes),
  /** of the matrix products of the training graphs */
  precision: z.enum(precisions),
  /** of the products with frozen weights, in all graphs */
  frozenCompute: frozenComputeSchema.optional(),
  /** what the frozen graphs compute once an image or question, by level */
  cuts: z.strictObject({ vit: cut.optional(), kv: cut.optional() }),
  parameters: z.strictObject({
    trainable: z.number().int(),
    total: z.number().int(),
    percent: z.number(),
    modules: z.strictObject({ visual_encoder: count, text_encoder: count, text_decoder: count }),
  }),
  trainable: trainableSchema,
  graphs: graphsSchema,
});

export type Manifest = z.infer<typeof manifestSchema>;

/** manifest.json of a run that `build-graph --from` made of somebody else's ONNX model. */
export const importedSchema = z.strictObject({
  format: z.literal('mile-ort imported run 1'),
  source: z.strictObject({ file: z.string(), sha256: z.string() }),
  variant: z.string(),
  tuning: importedTuningSchema,
  loss: z.enum(lossNames),
  /** the output that the loss compares with the labels */
  output: z.string(),
  /** arrays that training reads, first axis samples */
  inputs: z.array(
    z.strictObject({
      name: z.string(),
      dtype: z.string(),
      shape: z.array(z.union([z.number(), z.string()])),
    }),
  ),
  weights: weightsSchema,
  seed: z.number().int(),
  parameters: z.strictObject({ trainable: z.number().int(), total: z.number().int(), percent: z.number() }),
  trainable: trainableSchema,
  graphs: graphsSchema,
});
export type ImportedManifest = z.infer<typeof importedSchema>;

/** What training and checkpoints need to know of a run. */
export type TrainableRun = Pick<Manifest, 'weights' | 'seed' | 'trainable' | 'graphs'> &
  Partial<Pick<Manifest, 'precision' | 'config' | 'frozenCompute'>>;

export const isImported = (manifest: Manifest | ImportedManifest): manifest is ImportedManifest =>
  manifest.format === 'mile-ort imported run 1';

/** @throws {FileError} when the folder is no run, or its manifest is damaged. */
export function readAnyManifest(run: string): Manifest | ImportedManifest {
  const file = join(run, 'manifest.json');
  if (!existsSync(file))
    throw new FileError(
      'not a run folder: it has no manifest.json',
      run,
      'make one with build-graph, or give its path',
    );
  const json = readJson(file);
  const imported = (json as { format?: unknown } | null)?.format === 'mile-ort imported run 1';
  const parsed = imported ? importedSchema.safeParse(json) : manifestSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new FileError(
    `${issue.message} at ${issue.path.join('.') || 'the top'}`,
    file,
    'the file is damaged or of another version: build the run again with build-graph',
  );
}

/** @throws {FileError} when the run does not answer questions, or {@link readAnyManifest} cannot read it. */
export function readManifest(run: string): Manifest {
  const manifest = readAnyManifest(run);
  if (!isImported(manifest)) return manifest;
  throw new FileError(
    'the run is an imported model, which does not answer questions about images',
    run,
    'give a run that build-graph --variant made',
  );
}

/**
 * Path of the base weights of a run. Shipped ones are expanded again if the cache was cleared, and so are 8-bit
 * copies.
 *
 * @throws {FileError} when the file is missing or has changed.
 */
export function weightsPath(
  run: string,
  manifest: Pick<Manifest, 'weights'> & Partial<Pick<Manifest, 'config' | 'frozenCompute'>>,
): string {
  const path = basePath(run, manifest.weights);
  const { weights, config, frozenCompute } = manifest;
  for (const { file, sha256 } of weightFiles(weights).slice(1)) {
    const other = join(dirname(path), file);
    if (file === weights.int8?.file) {
      if (!config || !frozenCompute) continue; // the base alone is asked for
      if (!existsSync(other))
        int8Copy({ path, sha256: weights.sha256 }, lossGraph(config), frozenCompute.form);
    }
    if (!existsSync(other))
      throw new FileError('a part of the weights is missing', other, 'copy the whole folder again');
    checkUnchanged(other, sha256);
  }
  return path;
}

function basePath(run: string, { file, folder, source, sha256 }: Manifest['weights']): string {
  const path = join(isAbsolute(folder) ? folder : resolve(run, folder), file);
  if (existsSync(path)) {
    checkUnchanged(path, sha256);
    return path;
  }
  if (source.startsWith('pretrained ')) {
    const expanded = expandPretrained(source.slice('pretrained '.length));
    if (expanded.endsWith(`/${file}`) || expanded.endsWith(`\\${file}`)) return expanded;
  }
  throw new FileError('the base weights are missing', path, `put ${file} there, or build the run again`);
}
