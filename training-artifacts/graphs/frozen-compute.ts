/** @file What computes with frozen weights: float32, or 8-bit numbers in some modules. */
import { basename } from 'node:path';
import { UserError } from '../../graph-builder/errors.js';
import type { Graph } from '../../graph-builder/ir/types.js';
import { type ModuleName, moduleNames, moduleOf } from '../../graph-builder/models/config.js';
import type { ExternalTensor } from '../../graph-builder/onnx/write.js';
import { globToRegExp, splitGlobs } from '../../graph-builder/rewrites/glob.js';
import { type Int8Options, int8Products, int8Sites } from '../../graph-builder/rewrites/int8.js';
import type { Int8Form, Matrix } from '../../graph-builder/rewrites/int8-weights.js';
import { int8File } from '../weights/int8-file.js';
import { sha256 } from '../weights/pretrained.js';
import { withSafetensors } from '../weights/safetensors-file.js';
import type { Manifest } from './manifest.js';

export type FrozenCompute = NonNullable<Manifest['frozenCompute']>;
export type SkippedLayer = FrozenCompute['skipped'][number];

const isModule = (name: string): name is ModuleName => (moduleNames as readonly string[]).includes(name);

/**
 * Reads `float32`, `int8`, `int8:visual_encoder,text_encoder` or `int8-weight-only[:…]`; undefined is float32.
 *
 * @throws {UserError} for another word.
 */
export function parseFrozenCompute(text: string): Pick<FrozenCompute, 'form' | 'modules'> | undefined {
  const [kind, list, ...rest] = text.split(':');
  const modules = list === undefined ? [...moduleNames] : list.split(',').map((name) => name.trim());
  const forms: Record<string, Int8Form> = { int8: 'dynamic', 'int8-weight-only': 'weight-only' };
  if (kind === 'float32' && list === undefined) return undefined;
  if (kind && Object.hasOwn(forms, kind) && rest.length === 0 && modules.every(isModule))
    return { form: forms[kind]!, modules: moduleNames.filter((m) => modules.includes(m)) };
  throw new UserError(
    `'${text}' is neither float32 nor int8`,
    '--frozen-compute',
    'write float32, int8, int8-weight-only, or e.g. int8:visual_encoder,text_encoder',
  );
}

/** All matrices that products of a model read, each once: the 8-bit copies of a base serve every variant. */
export function matricesOf(graph: Graph): Matrix[] {
  const found = [...int8Sites(graph).values()].map(({ name, out, in: inner }) => [
    name,
    { name, out, in: inner },
  ]);
  return [...new Map(found as [string, Matrix][]).values()];
}

/** The layers that `--int8-skip GLOB` names. @throws {UserError} when it names none. */
export function skippedByGlob(globs: string, matrices: readonly Matrix[]): SkippedLayer[] {
  const patterns = splitGlobs(globs).map(globToRegExp);
  const names = matrices.map(({ name }) => name).filter((name) => patterns.some((p) => p.test(name)));
  if (names.length > 0) return names.map((name) => ({ name, error: null }));
  throw new UserError(
    `'${globs}' matches no weight of a product`,
    '--int8-skip',
    `write globs such as ${matrices[0]?.name.replace(/\d+/, '*')}, or auto or none`,
  );
}

export function int8OptionsOf({ form, modules, skipped }: FrozenCompute): Int8Options {
  const kept = new Set(skipped.map(({ name }) => name));
  return { form, includes: (weight) => modules.includes(moduleOf(weight)) && !kept.has(weight) };
}

/** The rewrite of a run's graphs. */
export const withFrozenCompute = (graph: Graph, compute: FrozenCompute | undefined): Graph =>
  compute ? int8Products(graph, int8OptionsOf(compute)) : graph;

export interface Int8Copy {
  /** as the manifest names it */
  readonly record: { readonly file: string; readonly sha256: string };
  readonly located: ReadonlyMap<string, ExternalTensor>;
}

/** The 8-bit copy of a base, made if need be. */
export function int8Copy(
  base: { readonly path: string; readonly sha256: string },
  graph: Graph,
  form: Int8Form,
): Int8Copy {
  const path = int8File(base, matricesOf(graph), form);
  const located = withSafetensors(
    path,
    ({ header }) =>
      new Map(
        [...header.tensors].map(([name, { offset, length }]) => [
          name,
          { location: basename(path), offset, length },
        ]),
      ),
  );
  return { record: { file: basename(path), sha256: sha256(path) }, located };
}
