/** @file manifest.json: what a run folder holds. */
import { existsSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { z } from 'zod';
import { FileError } from '../../graph-builder/errors.js';
import { initialisers } from '../../graph-builder/ir/types.js';
import type { MissConfig } from '../../graph-builder/models/config.js';
import { type AnyAdapter, methods } from '../../graph-builder/rewrites/methods.js';
import type { ModuleTuning, Variant } from '../../graph-builder/variant/variant.js';
import { readJson } from '../files.js';
import { expandPretrained } from '../weights/pretrained.js';

const size = z.number().int().positive();
const tuning = z.union([
  z.strictObject({ method: z.enum(['frozen', 'full']) }),
  ...Object.values(methods).map(({ schema }) => schema as z.ZodType<AnyAdapter>),
]) as z.ZodType<ModuleTuning>;
const count = z.strictObject({ trainable: z.number().int(), total: z.number().int() });

/** Files of the graphs, by role. */
export const graphFiles = {
  training: 'training_model.onnx',
  evaluation: 'eval_model.onnx',
  forward: 'model.onnx',
  imageEncoder: 'image_encoder.onnx',
  questionEncoder: 'question_encoder.onnx',
  answerDecoder: 'answer_decoder.onnx',
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
    modules: z.strictObject({ visual_encoder: tuning, text_encoder: tuning, text_decoder: tuning }),
  }) satisfies z.ZodType<Variant>,
  image: z.strictObject({ normalisation: z.enum(['imagenet', 'clip', 'reference']) }),
  text: z.strictObject({ tokenizer: z.string(), maxQuestionTokens: size, maxAnswerTokens: size }),
  /** the frozen weights: `file` is the bare name in the graphs, `folder` where it lies ('.' = this folder) */
  weights: z.strictObject({ file: z.string(), folder: z.string(), sha256: z.string(), source: z.string() }),
  /** draws the initial values of adapters */
  seed: z.number().int(),
  parameters: z.strictObject({
    trainable: z.number().int(),
    total: z.number().int(),
    percent: z.number(),
    modules: z.strictObject({ visual_encoder: count, text_encoder: count, text_decoder: count }),
  }),
  trainable: z.array(
    z.strictObject({
      name: z.string(),
      shape: z.array(z.number().int()),
      init: z.enum(initialisers),
      /** false: the base file has its initial value */
      added: z.boolean(),
    }),
  ),
  graphs: z.record(
    z.string(),
    z.strictObject({
      file: z.string(),
      sha256: z.string(),
      inputs: z.array(z.string()),
      outputs: z.array(z.string()),
    }),
  ),
});

export type Manifest = z.infer<typeof manifestSchema>;

/** @throws {FileError} when the folder is no run, or its manifest is damaged. */
export function readManifest(run: string): Manifest {
  const file = join(run, 'manifest.json');
  if (!existsSync(file))
    throw new FileError(
      'not a run folder: it has no manifest.json',
      run,
      'make one with build-graph, or give its path',
    );
  const parsed = manifestSchema.safeParse(readJson(file));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new FileError(
    `${issue.message} at ${issue.path.join('.') || 'the top'}`,
    file,
    'the file is damaged: build the run again with build-graph',
  );
}

/**
 * Path of the base weights of a run. Shipped ones are expanded again if the cache was cleared.
 *
 * @throws {FileError} when the file is missing.
 */
export function weightsPath(run: string, { weights: { file, folder, source } }: Manifest): string {
  const path = join(isAbsolute(folder) ? folder : resolve(run, folder), file);
  if (existsSync(path)) return path;
  if (source.startsWith('pretrained ')) {
    const expanded = expandPretrained(source.slice('pretrained '.length));
    if (expanded.endsWith(`/${file}`) || expanded.endsWith(`\\${file}`)) return expanded;
  }
  throw new FileError('the base weights are missing', path, `put ${file} there, or build the run again`);
}
