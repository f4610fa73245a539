/** @file What the files of an adapter folder hold: `{visual_encoder,text_encoder,text_decoder}/`, PEFT's own form. */
import { FileError } from '../../graph-builder/errors.js';
import { type ModuleName, moduleNames, moduleOf } from '../../graph-builder/models/config.js';
import type { AdapterTensor, AdapterTensors } from '../../graph-builder/rewrites/adapter-method.js';
import type { ModuleTuning, Variant } from '../../graph-builder/variant/variant.js';
import { hfClasses } from './hf-names.js';
import type { ModuleAdapter, PeftFormat, StoredModule } from './peft-format.js';
import { ia3Format, readIa3 } from './peft-ia3.js';
import { loraFormat, readLora, wholeFormat } from './peft-lora.js';
import { prefixFormat, readPrefix } from './peft-prefix.js';

export const CONFIG = 'adapter_config.json';
export const WEIGHTS = 'adapter_model.safetensors';

/** By the method of a module's tuning, and by the `peft_type` of a stored folder. */
const formats = {
  lora: loraFormat,
  full: wholeFormat,
  ia3: ia3Format,
  prefix: prefixFormat,
  ptv2: prefixFormat,
};
const readers: Readonly<Record<string, (source: StoredModule) => ModuleAdapter>> = {
  LORA: readLora,
  IA3: readIa3,
  PREFIX_TUNING: readPrefix,
};

export interface AdapterContents {
  readonly variant: Variant;
  /** trained tensors by reference name: those of the adapters, every parameter of T modules */
  readonly tensors: AdapterTensors;
  /** what the adapter was trained on, for `base_model_name_or_path` */
  readonly baseModel: string;
  /** attention heads of the text modules */
  readonly textHeads: number;
}

export interface Adapter {
  /** modules without a folder are frozen */
  readonly modules: Readonly<Record<ModuleName, ModuleTuning>>;
  readonly tensors: AdapterTensors;
}

export interface ModuleFiles {
  readonly module: ModuleName;
  readonly tensors: ReadonlyMap<string, AdapterTensor>;
  readonly config: Readonly<Record<string, unknown>>;
}

/** What a module's two files hold. */
function moduleFiles(
  module: ModuleName,
  { variant, tensors, baseModel, textHeads }: AdapterContents,
): ModuleFiles | undefined {
  const tuning = variant.modules[module];
  if (tuning.method === 'frozen') return undefined;
  const format = formats[tuning.method] as unknown as PeftFormat;
  const own = new Map([...tensors].filter(([name]) => moduleOf(name) === module));
  const found = format.write(module, tuning, own);
  if (!found || found.size === 0) throw new Error(`internal: the tensors of ${module} are not its variant's`);
  for (const [name, { shape, data }] of found) {
    if (shape.reduce((p, n) => p * n, 1) !== data.length)
      throw new Error(`internal: ${name} is not [${shape}]`);
  }
  const { file, name } = hfClasses[module];
  return {
    module,
    tensors: new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1))),
    config: {
      auto_mapping: { base_model_class: name, parent_library: `transformers.models.blip.${file}` },
      base_model_name_or_path: baseModel,
      inference_mode: true,
      task_type: null,
      ...format.config(module, tuning, textHeads),
    },
  };
}

/** A pair of files for each module that is not frozen. */
export const adapterFiles = (contents: AdapterContents): ModuleFiles[] =>
  moduleNames.flatMap((module) => moduleFiles(module, contents) ?? []);

/** @throws {FileError} for an unknown method or key, wrong shapes, an empty file. */
export function readStoredModule(source: StoredModule): ModuleAdapter {
  const type = (source.config as { peft_type?: unknown } | null)?.peft_type;
  const read = typeof type === 'string' && Object.hasOwn(readers, type) ? readers[type] : undefined;
  if (!read) {
    throw new FileError(
      `peft_type ${type} is none that this project has`,
      source.configFile,
      `give the folder of a ${Object.keys(readers).join(', ')} adapter`,
    );
  }
  if (source.stored.size === 0)
    throw new FileError('the adapter is empty', source.weightsFile, 'save the adapter again');
  return read(source);
}

/** The adapter of the modules that have files; the others are frozen. */
export function joinModules(read: ReadonlyMap<ModuleName, ModuleAdapter>): Adapter {
  const modules = moduleNames.map((m) => [m, read.get(m)?.tuning ?? { method: 'frozen' }] as const);
  return {
    modules: Object.fromEntries(modules) as Adapter['modules'],
    tensors: new Map([...read.values()].flatMap(({ tensors }) => [...tensors])),
  };
}
