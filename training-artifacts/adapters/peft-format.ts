/** @file What one PEFT form of a module's folder is, and the keys that all forms share. */
import type { z } from 'zod';
import { FileError } from '../../graph-builder/errors.js';
import type { ModuleName } from '../../graph-builder/models/config.js';
import type { AdapterTensor, AdapterTensors } from '../../graph-builder/rewrites/adapter-method.js';
import type { ModuleTuning } from '../../graph-builder/variant/variant.js';
import { hfClasses, hfPath, referenceName, tiedPaths } from './hf-names.js';

/** One module's folder in memory. */
export interface ModuleAdapter {
  readonly tuning: Exclude<ModuleTuning, { readonly method: 'frozen' }>;
  /** by reference name */
  readonly tensors: Map<string, AdapterTensor>;
}

/** A stored folder, before it is understood. */
export interface StoredModule {
  readonly module: ModuleName;
  /** adapter_config.json */
  readonly config: unknown;
  readonly configFile: string;
  /** adapter_model.safetensors by its own keys */
  readonly stored: AdapterTensors;
  readonly weightsFile: string;
}

/** How one method stands in a PEFT folder. */
export interface PeftFormat<T extends ModuleAdapter['tuning'] = ModuleAdapter['tuning']> {
  /** fields of adapter_config.json beside those that all have */
  config(module: ModuleName, tuning: T, textHeads: number): Readonly<Record<string, unknown>>;
  /** tensors by their keys in adapter_model.safetensors; undefined: the tensors are not those of `tuning` */
  write(
    module: ModuleName,
    tuning: T,
    tensors: AdapterTensors,
  ): ReadonlyMap<string, AdapterTensor> | undefined;
}

export const PREFIX = 'base_model.model.';

/** The path of a module inside HF's class, e.g. 'encoder.layer.0.attention.self.query'. */
export function knownPath(name: string): string {
  const known = hfPath(name);
  if (!known) throw new Error(`internal: ${name} has no place in Hugging Face BLIP`);
  return known.path;
}

/** Full paths of the modules of some weights: PEFT picks exactly these, whatever the number of layers. */
export const targetPaths = (sites: readonly string[]): string[] =>
  sites.map((site) => knownPath(site.replace(/\.weight$/, '')));

/** Keys of a parameter in `adapter_model.safetensors`: two where HF ties it to another. */
export function peftKeys(name: string): string[] {
  const path = knownPath(name);
  const twins = name.startsWith('text_decoder.')
    ? [...tiedPaths].filter(([, stored]) => stored === path)
    : [];
  return [path, ...twins.map(([twin]) => twin)].map((p) => PREFIX + p);
}

/** Exactly the named tensors under PEFT's keys; undefined when one is missing or there are others. */
export function keyed(
  names: readonly string[],
  tensors: AdapterTensors,
): Map<string, AdapterTensor> | undefined {
  if (names.length !== tensors.size || names.some((name) => !tensors.has(name))) return undefined;
  return new Map(names.flatMap((name) => peftKeys(name).map((key) => [key, tensors.get(name)!] as const)));
}

const LEAVES = /\.lora_[AB]\.weight$|\.(weight|bias|ia3_l|lora_magnitude_vector)$|_embedding$/;

/**
 * The reference name of a key.
 *
 * @throws {FileError} when the model has no such parameter.
 */
export function keyName(module: ModuleName, key: string, file: string): string {
  const path = key.startsWith(PREFIX) ? key.slice(PREFIX.length) : '';
  const name = LEAVES.test(path) && referenceName(module, path);
  if (name) return name;
  const example = `${PREFIX}${module === 'visual_encoder' ? 'encoder.layers' : '…encoder.layer'}.0.….lora_A.weight`;
  throw new FileError(
    `unknown key ${key}`,
    file,
    `wrap the ${hfClasses[module].name} alone: keys like ${example}`,
  );
}

/** Tensors by reference name; HF's second copy of a tied parameter must equal the first. */
export function byReferenceName({ module, stored, weightsFile }: StoredModule): Map<string, AdapterTensor> {
  const tensors = new Map<string, AdapterTensor>();
  for (const [key, tensor] of stored) {
    const name = keyName(module, key, weightsFile);
    const twin = tensors.get(name);
    if (
      twin &&
      !(twin.data.length === tensor.data.length && twin.data.every((v, i) => v === tensor.data[i]))
    ) {
      throw new FileError(
        `two copies of ${name} differ`,
        weightsFile,
        'train with tied word embeddings: this model has one table for input and output',
      );
    }
    if (!twin) tensors.set(name, tensor);
  }
  return tensors;
}

/** Checks `adapter_config.json` against the part that is read. @throws {FileError} naming the first wrong field. */
export function parseConfig<T>(schema: z.ZodType<T>, what: string, { config, configFile }: StoredModule): T {
  const parsed = schema.safeParse(config);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue!.path.join('.') || 'the whole file';
  throw new FileError(
    `not ${what} configuration: ${field}: ${issue!.message}`,
    configFile,
    'save the adapter again with PEFT',
  );
}

/** @throws {FileError} when settings are on that would change what the tensors mean. */
export function refuseSettings(config: unknown, names: readonly string[], file: string): void {
  const settings = config as Record<string, unknown>;
  const isSet = (value: unknown): boolean =>
    typeof value === 'object' && value !== null ? Object.keys(value).length > 0 : Boolean(value);
  const foreign = names.filter((name) => isSet(settings[name]));
  if (foreign.length === 0) return;
  throw new FileError(`${foreign.join(', ')} is set`, file, 'train the adapter without these settings');
}
