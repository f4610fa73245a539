/** @file What lies beside weights in a model folder and says how they are to be used. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import {
  type NormalisationName,
  normalisationNames,
  normalisations,
} from '../../datasets/images/normalise.js';
import { packageRoot } from '../../datasets/package-root.js';
import { FileError } from '../../graph-builder/errors.js';
import type { MissConfig } from '../../graph-builder/models/config.js';
import { readJson } from '../files.js';
import { ByteFile } from './formats/byte-file.js';
import { readSmallJson } from './formats/open-source.js';
import { printable } from './formats/source.js';

const part = z.looseObject({
  num_attention_heads: z.number().optional(),
  layer_norm_eps: z.number().optional(),
  hidden_act: z.string().optional(),
});
const configSchema = part.extend({
  model_type: z.string(),
  text_config: part.optional(),
  vision_config: part.optional(),
});
type Part = z.infer<typeof part>;

/** Files beside weights are small. */
const LIMIT = 2 ** 20;

function readBeside(path: string, name: string): unknown {
  const file = join(dirname(path), name);
  return existsSync(file) ? readSmallJson(file, LIMIT) : undefined;
}

/** The image's and the texts' parts of a configuration, by the kind of model. */
function partsOf(path: string): { vision?: Part | undefined; text?: Part | undefined } {
  const parsed = configSchema.safeParse(readBeside(path, 'config.json'));
  if (!parsed.success) return {};
  const { model_type: type, text_config: text, vision_config: vision } = parsed.data;
  if (type === 'blip') return { vision, text };
  if (type === 'bert') return { text: parsed.data };
  if (type === 'vit' || type === 'deit') return { vision: parsed.data };
  return {};
}

/** The model's own constants: graph-builder/models/{vit,text-body}.ts. */
const EPSILON = { vision: 1e-6, text: 1e-12 };

/**
 * Compares config.json beside the weights with the model: the number of heads does not show in any shape.
 *
 * @returns what differs without making the weights useless.
 * @throws {FileError} when the heads differ.
 */
export function checkBeside(path: string, config: MissConfig): string[] {
  const notes: string[] = [];
  const parts = partsOf(path);
  for (const kind of ['vision', 'text'] as const) {
    const heads = kind === 'vision' ? config.visionHeads : config.textHeads;
    const { num_attention_heads: given, layer_norm_eps: eps, hidden_act: act } = parts[kind] ?? {};
    if (given !== undefined && given !== heads) {
      const where = join(dirname(path), 'config.json');
      const what = `the ${kind} model has ${given} attention heads, the preset ${heads}`;
      throw new FileError(what, where, `add --${kind}-heads ${given}`);
    }
    if (eps !== undefined && eps !== EPSILON[kind])
      notes.push(`layer norms of the ${kind} model add ${eps} to the variance, this model ${EPSILON[kind]}`);
    if (act !== undefined && act !== 'gelu')
      notes.push(`the ${kind} model was trained with ${printable(act)}, this model computes gelu`);
  }
  return notes;
}

const preprocessor = z.looseObject({
  image_mean: z.array(z.number()).length(3),
  image_std: z.array(z.number()).length(3),
});

/** The statistics of preprocessor_config.json beside the weights, where they have a name here. */
export function normalisationBeside(path: string): NormalisationName | undefined {
  const parsed = preprocessor.safeParse(readBeside(path, 'preprocessor_config.json'));
  if (!parsed.success) return undefined;
  const { image_mean: mean, image_std: std } = parsed.data;
  const close = (a: readonly number[], b: readonly number[]) => a.every((v, i) => Math.abs(v - b[i]!) < 1e-4);
  return normalisationNames.find(
    (name) =>
      normalisations[name].scale === 1 / 255 &&
      close(mean, normalisations[name].mean) &&
      close(std, normalisations[name].std),
  );
}

/** The tokens of the shipped vocabulary, by id. */
function ownTokens(): string[] {
  const file = join(packageRoot(), 'datasets', 'bert-base-uncased', 'tokenizer.json');
  const { model } = readJson(file) as { model: { vocab: Record<string, number> } };
  const tokens: string[] = [];
  for (const [token, id] of Object.entries(model.vocab)) tokens[id] = token;
  return tokens;
}

/** @throws {FileError} when vocab.txt beside the weights gives an id to another word: same size, other language. */
export function checkVocabulary(path: string): void {
  const file = join(dirname(path), 'vocab.txt');
  if (!existsSync(file)) return;
  const opened = ByteFile.open(file);
  try {
    const text = new TextDecoder().decode(opened.read(0, Math.min(opened.size, LIMIT)));
    const given = text.split(/\r?\n/);
    ownTokens().forEach((token, id) => {
      if (given[id] === token) return;
      const what = `id ${id} is '${printable(given[id] ?? '')}', here it is '${token}': another vocabulary`;
      throw new FileError(what, file, 'take weights of a model with the vocabulary of bert-base-uncased');
    });
  } finally {
    opened.close();
  }
}
