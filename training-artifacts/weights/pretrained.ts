/** @file Base weights that ship with the project: float16 in the package, expanded once to float32 in the cache. */
import { createHash } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { normalisationNames } from '../../datasets/images/normalise.js';
import { packageRoot } from '../../datasets/package-root.js';
import { FileError } from '../../graph-builder/errors.js';
import { pieces, readJson } from '../files.js';
import { cacheFolder } from './cache.js';
import { fromHalf } from './half.js';
import { withSafetensors, writeSafetensors } from './safetensors-file.js';

/** `training-artifacts/pretrained/<name>.json`, beside the weights. */
const recordSchema = z.looseObject({
  preset: z.string(),
  normalisation: z.enum(normalisationNames),
  /** of the float16 file */
  sha256: z.string(),
  /** of the float32 file that it expands to */
  expandedSha256: z.string(),
});
export type PretrainedRecord = z.infer<typeof recordSchema>;

const folder = (): string => join(packageRoot(), 'training-artifacts', 'pretrained');

/** Hash of a file of any size, read piece by piece. */
export function sha256(file: string): string {
  const hash = createHash('sha256');
  for (const piece of pieces(file)) hash.update(piece);
  return hash.digest('hex');
}

export const hasPretrained = (preset: string): boolean => existsSync(join(folder(), `${preset}.safetensors`));

/** @throws {FileError} when no base weights ship for this preset. */
export function pretrainedRecord(preset: string): PretrainedRecord {
  if (!hasPretrained(preset)) {
    throw new FileError(
      `no trained base weights ship for ${preset}`,
      '--weights',
      'give --weights FILE.safetensors or --weights random',
    );
  }
  const file = join(folder(), `${preset}.json`);
  const parsed = recordSchema.safeParse(readJson(file));
  if (parsed.success) return parsed.data;
  throw new FileError('the record of the base weights is damaged', file, 'install the package again');
}

/**
 * Path of the float32 weights of a preset, expanded and checked against their hash if not done before.
 *
 * @throws {FileError} when the shipped file is damaged or the cache cannot be written.
 */
export function expandPretrained(preset: string): string {
  const { expandedSha256 } = pretrainedRecord(preset);
  const target = join(cacheFolder(), `${preset}-${expandedSha256.slice(0, 12)}.safetensors`);
  if (existsSync(target) && sha256(target) === expandedSha256) return target;
  const source = join(folder(), `${preset}.safetensors`);
  expandHalf(source, target);
  if (sha256(target) !== expandedSha256) {
    rmSync(target);
    throw new FileError(
      'the shipped base weights are damaged: their hash differs',
      source,
      'install the package again',
    );
  }
  return target;
}

/** Writes a float16 safetensors file as float32, tensors in the same order. */
export function expandHalf(source: string, target: string): void {
  withSafetensors(source, (file) => {
    const tensors = [...file.header.tensors].map(([name, { shape }]) => {
      const bytes = () => new Uint8Array(fromHalf(new Uint16Array(file.bytes(name).buffer)).buffer);
      return [name, { dtype: 'F32' as const, shape, bytes }] as const;
    });
    writeSafetensors(target, new Map(tensors));
  });
}
