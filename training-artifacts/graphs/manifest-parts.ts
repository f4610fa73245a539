/** @file What the manifests of all runs have in common. */
import { z } from 'zod';
import { initialisers } from '../../graph-builder/ir/types.js';
import { type AnyAdapter, methods } from '../../graph-builder/rewrites/methods.js';

export const size = z.number().int().positive();
export const count = z.strictObject({ trainable: z.number().int(), total: z.number().int() });

/** Settings of an adapter, of any method. */
export const adapterSchema = z.union(
  Object.values(methods).map(({ schema }) => schema as z.ZodType<AnyAdapter>),
) as z.ZodType<AnyAdapter>;

/** the frozen weights: `file` is the bare name in the graphs, `folder` where it lies ('.' = this folder) */
export const weightsSchema = z.strictObject({
  file: z.string(),
  folder: z.string(),
  sha256: z.string(),
  source: z.string(),
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
