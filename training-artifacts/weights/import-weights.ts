/** @file Weights of other programs as a base of this one: a safetensors file with the reference's names. */
import { basename } from 'node:path';
import type { NormalisationName } from '../../datasets/images/normalise.js';
import { FileError } from '../../graph-builder/errors.js';
import type { Parameter } from '../../graph-builder/ir/types.js';
import type { MissConfig } from '../../graph-builder/models/config.js';
import { encodeFloats, type FloatType, storedTypes } from './convert.js';
import { openWeights } from './formats/open-source.js';
import type { TensorSource } from './formats/source.js';
import { type ImportPlan, type PlannedTensor, planImport } from './import-plan.js';
import { sha256 } from './pretrained.js';
import { type StreamedTensor, streamSafetensors } from './safetensors-file.js';

export interface ImportOptions {
  readonly preset: string;
  readonly config: MissConfig;
  /** those of the base model */
  readonly parameters: readonly Parameter[];
  readonly out: string;
  readonly normalisation?: NormalisationName | undefined;
  readonly dtype: FloatType;
  readonly seed: number;
  /** refuses initialised and unused tensors */
  readonly strict: boolean;
  /** told the bytes of each piece that was written, and their sum at the start */
  readonly progress?: (written: number, total: number) => void;
}

/** @throws {FileError} when a strict import would leave something out or make something up. */
function checkStrict({ tensors, left }: ImportPlan): void {
  const made = tensors.filter(({ kind }) => kind === 'initialised');
  const unused = left.filter(({ kind }) => kind === 'unused');
  const first = made[0]?.name ?? unused[0]?.name;
  if (first === undefined) return;
  throw new FileError(
    `${made.length} tensors would be initialised and ${unused.length} are unused, the first is ${first}`,
    '--strict',
    'leave --strict out, or give the missing weights as another source',
  );
}

/** The tensor as it is written. */
function streamed(
  tensor: PlannedTensor,
  { out, dtype, progress }: ImportOptions,
  total: number,
): StreamedTensor {
  function* pieces() {
    for (const values of tensor.pieces()) {
      yield encodeFloats(values, dtype, `${out}, tensor ${tensor.name}`);
      progress?.(values.length, total);
    }
  }
  return { dtype: storedTypes[dtype], shape: tensor.shape, pieces };
}

/** What `build-graph --weights` and a reader need to know of the file. */
function metadataOf(
  plan: ImportPlan,
  options: ImportOptions,
  files: readonly string[],
): Record<string, string> {
  const hashes = files.map((file) => ({ file: basename(file), sha256: sha256(file) }));
  const initialised = plan.tensors.filter(({ kind }) => kind === 'initialised').length;
  return {
    format: 'pt',
    preset: options.preset,
    config: JSON.stringify(options.config),
    normalisation: plan.normalisation,
    sources: JSON.stringify(hashes),
    initialised: String(initialised),
    seed: String(options.seed),
  };
}

/**
 * Writes `out`, whole or not at all. Of every source one piece of a tensor is in memory at a time (a whole tensor
 * where its numbers lie in another order).
 *
 * @throws {FileError} for a file that cannot be read, names that are not known, shapes that do not fit.
 */
export async function importWeights(paths: readonly string[], options: ImportOptions): Promise<ImportPlan> {
  const sources: TensorSource[] = [];
  try {
    for (const path of paths) sources.push(await openWeights(path));
    const plan = planImport(sources, options.parameters, options);
    if (options.strict) checkStrict(plan);
    const total = plan.tensors.reduce((n, { shape }) => n + shape.reduce((p, s) => p * s, 1), 0);
    const tensors = plan.tensors.map((t) => [t.name, streamed(t, options, total)] as const);
    const files = sources.flatMap((s) => s.files);
    streamSafetensors(options.out, new Map(tensors), metadataOf(plan, options, files));
    return plan;
  } finally {
    for (const source of sources) source.close();
  }
}
