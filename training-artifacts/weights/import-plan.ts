/** @file What each parameter of the model is made from, worked out before anything is written. */
import { type NormalisationName, normalisationNames } from '../../datasets/images/normalise.js';
import { FileError, UserError } from '../../graph-builder/errors.js';
import type { Parameter } from '../../graph-builder/ir/types.js';
import { type MissConfig, moduleOf } from '../../graph-builder/models/config.js';
import { checkBeside, checkVocabulary, normalisationBeside } from './companions.js';
import { equalTensors } from './compare.js';
import { type Fitted, fitParameter } from './fit.js';
import { countOf, printable, type SourceTensor, type TensorSource } from './formats/source.js';
import { initialValues } from './initialise.js';
import { detectLayout, layouts } from './layouts/detect.js';
import { isBuffer, type Layout } from './layouts/layout.js';

export interface PlannedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly kind: Fitted['kind'] | 'initialised';
  /** the file's tensors; none for an initialised one */
  readonly from: readonly string[];
  readonly file?: string;
  readonly note?: string;
  readonly pieces: () => Iterable<Float32Array<ArrayBuffer>>;
}

export interface LeftTensor {
  readonly file: string;
  readonly name: string;
  readonly shape: readonly number[];
  /** why it is not in the model; `unused` is what a strict import refuses */
  readonly kind: 'unused' | 'tied' | 'buffer' | 'beside' | 'replaced';
}

export interface ImportPlan {
  readonly sources: readonly { readonly path: string; readonly format: string; readonly layout: string }[];
  readonly tensors: readonly PlannedTensor[];
  readonly left: readonly LeftTensor[];
  readonly normalisation: NormalisationName;
  readonly notes: readonly string[];
}

/** A source whose names are understood. */
interface Understood {
  readonly source: TensorSource;
  readonly layout: Layout;
  readonly prefix: string;
  /** by name without the prefix */
  readonly tensors: ReadonlyMap<string, SourceTensor>;
  /** names without the prefix */
  readonly used: Set<string>;
}

function understand(source: TensorSource): Understood {
  const detected = detectLayout(source.tensors.keys());
  if (!detected) {
    const first = [...source.tensors.keys()]
      .slice(0, 3)
      .map((name) => printable(name))
      .join(', ');
    throw new FileError(
      `the names of its ${source.tensors.size} tensors are of no known model: ${first || 'none'}`,
      source.path,
      `known are ${layouts.map(({ name }) => name).join(', ')}`,
    );
  }
  const { layout, prefix } = detected;
  const inside = [...source.tensors].filter(([name]) => name.startsWith(prefix));
  const tensors = new Map(inside.map(([name, tensor]) => [name.slice(prefix.length), tensor] as const));
  return { source, layout, prefix, tensors, used: new Set() };
}

/** Names of a source that make a parameter. */
interface Origin {
  readonly from: Understood;
  readonly recipe: readonly string[];
  readonly added: string | undefined;
}

/** The parameter's origin in this source, undefined if it does not have it. */
function originIn(target: Parameter, from: Understood): Origin | undefined {
  const { layout, tensors, used } = from;
  const recipe = layout.recipes(target.name).find((names) => names.every((name) => tensors.has(name)));
  if (!recipe) return undefined;
  const added = layout.added?.(target.name).find((name) => tensors.has(name));
  for (const name of recipe) used.add(name);
  if (added !== undefined) used.add(added);
  return { from, recipe, added };
}

/** Later sources win. */
function planTensor(target: Parameter, sources: readonly Understood[], seed: number): PlannedTensor {
  const shape = target.shape as readonly number[];
  const origin = sources
    .map((from) => originIn(target, from))
    .filter((o) => o !== undefined)
    .at(-1);
  if (!origin) {
    const pieces = () => [initialValues(target, seed) as Float32Array<ArrayBuffer>];
    return { name: target.name, shape, kind: 'initialised', from: [], pieces };
  }
  const { from, recipe, added } = origin;
  const fitted = fitParameter(target, {
    file: from.source.path,
    tensors: recipe.map((name) => from.tensors.get(name)!),
    added: added === undefined ? undefined : from.tensors.get(added),
    seed,
  });
  const names = added === undefined ? recipe : [...recipe, added];
  return { name: target.name, shape, from: names, file: from.source.path, ...fitted };
}

/** What of a source is not in the model, and why. */
function leftOf(from: Understood, planned: readonly PlannedTensor[]): LeftTensor[] {
  const { source, prefix, tensors, used, layout } = from;
  const taken = new Set(planned.filter((t) => t.file === source.path).flatMap((t) => t.from));
  const kindOf = (name: string): LeftTensor['kind'] | undefined => {
    if (taken.has(name)) return undefined;
    if (used.has(name)) return 'replaced';
    if (isBuffer(name)) return 'buffer';
    const twin = tensors.get(layout.tied(name) ?? '');
    return twin && equalTensors(twin, tensors.get(name)!) ? 'tied' : 'unused';
  };
  return [...source.tensors.values()].flatMap(({ name, shape }) => {
    const kind = name.startsWith(prefix) ? kindOf(name.slice(prefix.length)) : 'beside';
    return kind === undefined ? [] : [{ file: source.path, name, shape, kind }];
  });
}

/** How images are to be normalised for the image encoder that was taken. It is never guessed. */
function normalisationOf(
  sources: readonly Understood[],
  planned: readonly PlannedTensor[],
): NormalisationName {
  const file = planned.find(({ name }) => name === 'visual_encoder.patch_embed.proj.weight')?.file;
  const from = sources.find(({ source }) => source.path === file);
  if (!from) return 'imagenet';
  const stated = normalisationNames.find((name) => name === from.source.metadata.normalisation);
  const found = stated ?? normalisationBeside(from.source.path) ?? from.layout.normalisation;
  if (found) return found;
  throw new UserError(
    `${from.source.path} does not say how the images were normalised that its image encoder was trained on`,
    '--normalisation',
    `give it: ${from.layout.normalisationHint ?? normalisationNames.join(', ')}`,
  );
}

function checkSources(
  sources: readonly Understood[],
  planned: readonly PlannedTensor[],
  config: MissConfig,
): string[] {
  return sources.flatMap(({ source, layout }) => {
    const words = planned.some(
      ({ file, name }) => file === source.path && name.endsWith('.word_embeddings.weight'),
    );
    // tests and studies may have small vocabularies of their own
    if (words && config.vocab === 30524) checkVocabulary(source.path);
    return [...(layout.notes ?? []), ...checkBeside(source.path, config)];
  });
}

/**
 * Plans an import; tensors are read only where two must be compared.
 *
 * @param parameters those of the base model.
 * @throws {FileError} for unknown names or shapes that do not fit; {UserError} when the normalisation is not known.
 */
export function planImport(
  sources: readonly TensorSource[],
  parameters: readonly Parameter[],
  {
    config,
    seed,
    normalisation,
  }: {
    readonly config: MissConfig;
    readonly seed: number;
    readonly normalisation?: NormalisationName | undefined;
  },
): ImportPlan {
  const understood = sources.map(understand);
  const tensors = parameters.map((target) => planTensor(target, understood, seed));
  const notes = checkSources(understood, tensors, config);
  return {
    sources: understood.map(({ source: { path, format }, layout, prefix }) => ({
      path,
      format,
      layout: prefix ? `${layout.name}, under ${prefix.slice(0, -1)}` : layout.name,
    })),
    tensors,
    left: understood.flatMap((from) => leftOf(from, tensors)),
    normalisation: normalisation ?? normalisationOf(understood, tensors),
    notes,
  };
}

/** Parameters of the model by module, kind and number: the table of an import. */
export function countByModule(tensors: readonly PlannedTensor[]) {
  const counts = new Map<string, Record<PlannedTensor['kind'], { tensors: number; parameters: number }>>();
  for (const { name, kind, shape } of tensors) {
    const none = () => ({ tensors: 0, parameters: 0 });
    const row = counts.get(moduleOf(name)) ?? { mapped: none(), resized: none(), initialised: none() };
    row[kind].tensors += 1;
    row[kind].parameters += countOf(shape);
    counts.set(moduleOf(name), row);
  }
  return counts;
}
