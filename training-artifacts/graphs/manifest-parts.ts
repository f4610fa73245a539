/** @file What the manifests of all runs have in common. */
import { z } from 'zod';
import { initialisers } from '../../graph-builder/ir/types.js';
import { moduleNames } from '../../graph-builder/models/config.js';
import { int8Forms } from '../../graph-builder/rewrites/int8-weights.js';
import { methods } from '../../graph-builder/rewrites/methods.js';
import type { ImportedTuning } from '../../graph-builder/variant/imported.js';
import type { ModuleTuning } from '../../graph-builder/variant/variant.js';

export const size = z.number().int().positive();
export const count = z.strictObject({ trainable: z.number().int(), total: z.number().int() });

const whole = <M extends string>(method: M) => z.strictObject({ method: z.literal(method) });

/** What happens to a module: one of `others`, or an adapter of any method. */
function tuningSchema<T>(...others: readonly string[]): z.ZodType<T> {
  const adapters = Object.values(methods).map(({ schema }) => schema);
  // told apart by `method`, so that an error names the field and not the whole
  return z.discriminatedUnion('method', [
    ...others.map(whole),
    ...adapters,
  ] as never) as unknown as z.ZodType<T>;
}

export const moduleTuningSchema = tuningSchema<ModuleTuning>('frozen', 'full');
export const importedTuningSchema = tuningSchema<ImportedTuning>('full');

/** the frozen weights: `file` is the bare name in the graphs, `folder` where it lies ('.' = this folder) */
export const weightsSchema = z.strictObject({
  file: z.string(),
  folder: z.string(),
  sha256: z.string(),
  source: z.string(),
  /** the 8-bit copy beside it that `frozenCompute` reads */
  int8: z.strictObject({ file: z.string(), sha256: z.string() }).optional(),
  /** all files that the graphs name, where a run was exported in several; `file` is the first */
  shards: z.array(z.strictObject({ file: z.string(), sha256: z.string(), bytes: size })).optional(),
});

/** which frozen products are in 8 bits; a run without it computes in float32 */
export const frozenComputeSchema = z.strictObject({
  form: z.enum(int8Forms),
  modules: z.array(z.enum(moduleNames)),
  /** auto, none or globs: what chose `skipped` */
  skip: z.string(),
  /** layers left in float32, with the relative error that 8 bits would give them where it was measured */
  skipped: z.array(z.strictObject({ name: z.string(), error: z.number().nullable() })),
});

export const trainableSchema = z.array(
  z.strictObject({
    name: z.string(),
    shape: z.array(z.number().int()),
    init: z.enum(initialisers),
    /** false: the base file has its initial value */
    added: z.boolean(),
  }),
);

export const graphsSchema = z.record(
  z.string(),
  z.strictObject({
    file: z.string(),
    sha256: z.string(),
    inputs: z.array(z.string()),
    outputs: z.array(z.string()),
  }),
);
