/**
 * @file What an adapter's files hold, from bytes: needs no disk, so pages in a browser use it, too.
 *
 * Three places are understood: a folder for each module (`visual_encoder/`, `text_encoder/`, `text_decoder/`, each
 * that module wrapped alone), one module's folder by itself, and the folder of a whole `BlipForQuestionAnswering`
 * that PEFT wrapped at once.
 */
import { FileError } from '../../graph-builder/errors.js';
import { type ModuleName, moduleNames } from '../../graph-builder/models/config.js';
import type { AdapterTensor, AdapterTensors } from '../../graph-builder/rewrites/adapter-method.js';
import type { ModuleTuning } from '../../graph-builder/variant/variant.js';
import { headerLength, parseHeader } from '../weights/safetensors.js';
import { storedFloats } from '../weights/stored-floats.js';
import { hfClasses } from './hf-names.js';
import { type ModuleAdapter, PREFIX, type StoredModule } from './peft-format.js';
import { readIa3 } from './peft-ia3.js';
import { readLora } from './peft-lora.js';
import { readPrefix } from './peft-prefix.js';

/** PEFT's two files. */
export const peftFiles = { config: 'adapter_config.json', weights: 'adapter_model.safetensors' } as const;

export interface Adapter {
  /** modules without a folder are frozen */
  readonly modules: Readonly<Record<ModuleName, ModuleTuning>>;
  /** trained tensors by reference name */
  readonly tensors: AdapterTensors;
  /** what the files say that it was trained on; empty where they do not */
  readonly baseModels: readonly string[];
}

/** No adapter: the base answers. */
export const noAdapter: Adapter = {
  modules: {
    visual_encoder: { method: 'frozen' },
    text_encoder: { method: 'frozen' },
    text_decoder: { method: 'frozen' },
  },
  tensors: new Map(),
  baseModels: [],
};

/** One folder's files, before it is known whose module it is. */
export interface StoredFolder extends Omit<StoredModule, 'module'> {
  /** as the folder's name says */
  readonly module?: ModuleName;
}

const readers: Readonly<Record<string, (source: StoredModule) => ModuleAdapter>> = {
  LORA: readLora,
  IA3: readIa3,
  PREFIX_TUNING: readPrefix,
};

function readModule(source: StoredModule): ModuleAdapter {
  const type = (source.config as { peft_type?: unknown } | null)?.peft_type;
  const read = typeof type === 'string' && Object.hasOwn(readers, type) ? readers[type] : undefined;
  if (read) return read(source);
  throw new FileError(
    `peft_type ${type} is none that this project has`,
    source.configFile,
    `give the folder of a ${Object.keys(readers).join(', ')} adapter`,
  );
}

/** The modules as attributes of BlipForQuestionAnswering. */
const attributes = {
  vision_model: 'visual_encoder',
  text_encoder: 'text_encoder',
  text_decoder: 'text_decoder',
} as const satisfies Record<string, ModuleName>;
const ATTRIBUTE = /^base_model\.model\.(vision_model|text_encoder|text_decoder)\./;

/** Beginnings of paths that only one module has. */
const beginnings: readonly (readonly [RegExp, ModuleName])[] = [
  [/^(encoder\.layers|embeddings\.(patch|class)_embedding|post_layernorm)\b/, 'visual_encoder'],
  [/^(bert|cls)\./, 'text_decoder'],
  [/^(encoder\.layer|embeddings)\./, 'text_encoder'],
];

/** Whose adapter a lone folder holds: as its configuration says, else as its keys look. */
function moduleOfFolder({ config, configFile, stored }: StoredFolder): ModuleName {
  const { auto_mapping: mapping, task_type: task } = (config ?? {}) as {
    auto_mapping?: { base_model_class?: unknown } | null;
    task_type?: unknown;
  };
  const named = moduleNames.find((m) => hfClasses[m].name === mapping?.base_model_class);
  if (named) return named;
  if (task === 'CAUSAL_LM') return 'text_decoder';
  const path = [...stored.keys()][0]?.replace(PREFIX, '') ?? '';
  const found = beginnings.find(([pattern]) => pattern.test(path));
  if (found) return found[1];
  throw new FileError(
    'whose adapter it is cannot be told',
    configFile,
    `put it into a folder ${moduleNames.join('/, ')}/ and give the folder around that`,
  );
}

/** A folder as its modules: one, or those of a whole model. */
function modulesOf(folder: StoredFolder): StoredModule[] {
  const { module, stored, weightsFile } = folder;
  if (stored.size === 0) throw new FileError('the adapter is empty', weightsFile, 'save the adapter again');
  if (module) return [{ ...folder, module }];
  const parts = new Map<ModuleName, Map<string, AdapterTensor>>();
  for (const [key, tensor] of stored) {
    const attribute = ATTRIBUTE.exec(key)?.[1] as keyof typeof attributes | undefined;
    if (!attribute) continue;
    const part = parts.get(attributes[attribute]) ?? new Map<string, AdapterTensor>();
    parts.set(attributes[attribute], part.set(key.replace(ATTRIBUTE, PREFIX), tensor));
  }
  if (parts.size === 0) return [{ ...folder, module: moduleOfFolder(folder) }];
  const stray = [...stored.keys()].find((key) => !ATTRIBUTE.test(key));
  if (stray !== undefined)
    throw new FileError(
      `unknown key ${stray}`,
      weightsFile,
      `give an adapter of ${Object.keys(attributes).join(', ')}`,
    );
  return [...parts].map(([name, part]) => ({ ...folder, module: name, stored: part }));
}

/**
 * The adapter in some folders' files. Shapes are checked against the configuration; those of the base are
 * {@link fitAdapter}'s to check.
 *
 * @throws {FileError} for an unknown method or key, settings that this project lacks, wrong shapes.
 */
export function adapterOf(folders: readonly StoredFolder[]): Adapter {
  const read = new Map(folders.flatMap(modulesOf).map((source) => [source.module, readModule(source)]));
  const bases = folders.map(
    ({ config }) => (config as { base_model_name_or_path?: unknown }).base_model_name_or_path,
  );
  const modules = moduleNames.map((m) => [m, read.get(m)?.tuning ?? { method: 'frozen' }] as const);
  return {
    modules: Object.fromEntries(modules) as unknown as Adapter['modules'],
    tensors: new Map([...read.values()].flatMap(({ tensors }) => [...tensors])),
    baseModels: [...new Set(bases.filter((b): b is string => typeof b === 'string' && b !== ''))],
  };
}

/** The tensors of a safetensors file as float32. @throws {FileError} when it is damaged. */
export function parseTensors(bytes: Uint8Array, file: string): Map<string, AdapterTensor> {
  const length = headerLength(bytes.subarray(0, 8), bytes.length, file);
  const { tensors } = parseHeader(bytes.subarray(8, 8 + length), bytes.length, file);
  return new Map(
    [...tensors].map(([key, { dtype, shape, offset, length: size }]) => {
      const data = storedFloats(dtype, bytes.subarray(offset, offset + size), `${file}, ${key}`);
      return [key, { shape, data }];
    }),
  );
}

function parseConfig(bytes: Uint8Array, file: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new FileError('not JSON', file, 'the file is damaged: write or copy it again', { cause });
  }
}

/** Folders that may hold PEFT's files; '' is the given one itself. */
const places = ['', ...moduleNames] as const;

/** The places with at least one of PEFT's files. @throws {FileError} when there is none. */
export function presentPlaces(
  folder: string,
  exists: (path: string) => boolean,
): readonly { readonly at: string; readonly module?: ModuleName }[] {
  const present = places
    .filter((place) => Object.values(peftFiles).some((file) => exists(place ? `${place}/${file}` : file)))
    .map((place) => (place ? { at: `${place}/`, module: place } : { at: '' }));
  if (present[0]?.at === '') return present.slice(0, 1);
  if (present.length > 0) return present;
  throw new FileError(
    'no adapter here',
    folder,
    `give a folder that holds ${peftFiles.config}, or ${moduleNames.join('/, ')}/ with one`,
  );
}

/**
 * The adapter in files that are in memory already, by their paths below the adapter's folder.
 *
 * @param folder what errors call it
 * @throws {FileError} as {@link adapterOf}, and for a file that is missing or damaged.
 */
export function parseAdapter(files: ReadonlyMap<string, Uint8Array>, folder: string): Adapter {
  const bytesOf = (path: string): Uint8Array => {
    const bytes = files.get(path);
    if (!bytes)
      throw new FileError('the file is missing', `${folder}/${path}`, 'give both files of the folder');
    return bytes;
  };
  return adapterOf(
    presentPlaces(folder, (path) => files.has(path)).map(({ at, ...place }) => {
      const [config, weights] = [at + peftFiles.config, at + peftFiles.weights];
      const [configFile, weightsFile] = [`${folder}/${config}`, `${folder}/${weights}`];
      return {
        ...place,
        config: parseConfig(bytesOf(config), configFile),
        configFile,
        stored: parseTensors(bytesOf(weights), weightsFile),
        weightsFile,
      };
    }),
  );
}
