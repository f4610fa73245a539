/** @file Adapter folders on disk: `<folder>/{visual_encoder,text_encoder,text_decoder}/`, each PEFT's own form. */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { FileError } from '../../graph-builder/errors.js';
import { type ModuleName, moduleNames, moduleOf } from '../../graph-builder/models/config.js';
import type { AdapterTensor, AdapterTensors } from '../../graph-builder/rewrites/adapter-method.js';
import type { ModuleTuning, Variant } from '../../graph-builder/variant/variant.js';
import { readJson, writeJson } from '../files.js';
import { float32Tensor, withSafetensors, writeSafetensors } from '../weights/safetensors-file.js';
import { hfClasses } from './hf-names.js';
import type { ModuleAdapter, PeftFormat, StoredModule } from './peft-format.js';
import { ia3Format, readIa3 } from './peft-ia3.js';
import { loraFormat, readLora, wholeFormat } from './peft-lora.js';
import { prefixFormat, readPrefix } from './peft-prefix.js';

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';

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

interface Written {
  readonly module: ModuleName;
  readonly tensors: ReadonlyMap<string, AdapterTensor>;
  readonly config: Readonly<Record<string, unknown>>;
}

/** What a module's two files hold. */
function moduleFiles(
  module: ModuleName,
  { variant, tensors, baseModel, textHeads }: AdapterContents,
): Written | undefined {
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

/**
 * Writes a PEFT folder for each module that is not frozen; `PeftModel.from_pretrained` loads it onto that
 * module of BlipForQuestionAnswering (the ViT: `vision_model`).
 *
 * Adapter files of an earlier placement are removed, other files in the folder are left alone. Each file is
 * whole or absent, configurations come last: a folder that was cut short is refused by `readAdapterFolder`.
 *
 * @throws {FileError} when the folder cannot be written.
 */
export function writeAdapterFolder(folder: string, contents: AdapterContents): void {
  const written = moduleNames.flatMap((module) => moduleFiles(module, contents) ?? []);
  for (const name of [CONFIG, WEIGHTS]) {
    for (const module of moduleNames) rmSync(join(folder, module, name), { force: true });
  }
  for (const { module, tensors } of written) {
    const lazy = [...tensors].map(([key, { shape, data }]) => [key, float32Tensor(shape, data)] as const);
    writeSafetensors(join(folder, module, WEIGHTS), new Map(lazy), { format: 'pt' });
  }
  for (const { module, config } of written) writeJson(join(folder, module, CONFIG), config);
}

function readModule(folder: string, module: ModuleName): ModuleAdapter {
  const configFile = join(folder, module, CONFIG);
  const weightsFile = join(folder, module, WEIGHTS);
  const config = readJson(configFile);
  const type = (config as { peft_type?: unknown } | null)?.peft_type;
  const read = typeof type === 'string' && Object.hasOwn(readers, type) ? readers[type] : undefined;
  if (!read) {
    throw new FileError(
      `peft_type ${type} is none that this project has`,
      configFile,
      `give the folder of a ${Object.keys(readers).join(', ')} adapter`,
    );
  }
  const stored = withSafetensors(weightsFile, (file) => {
    const tensors = [...file.header.tensors].map(
      ([key, { shape }]) => [key, { shape, data: file.float32(key) }] as const,
    );
    return new Map(tensors);
  });
  if (stored.size === 0) throw new FileError('the adapter is empty', weightsFile, 'save the adapter again');
  return read({ module, config, configFile, stored, weightsFile });
}

/**
 * Reads what {@link writeAdapterFolder} or PEFT wrote. Modules without a folder are frozen.
 *
 * Shapes are checked against the configuration; those of the base model are the caller's to check.
 *
 * @throws {FileError} for a missing or damaged file, an unknown method or key, wrong shapes.
 */
export function readAdapterFolder(folder: string): Adapter {
  const present = moduleNames.filter((m) => [CONFIG, WEIGHTS].some((f) => existsSync(join(folder, m, f))));
  if (present.length === 0) {
    throw new FileError(
      'no adapter here',
      folder,
      `give a folder that holds ${moduleNames.join('/, ')}/ with ${CONFIG}`,
    );
  }
  const read = new Map(present.map((module) => [module, readModule(folder, module)]));
  const modules = moduleNames.map((m) => [m, read.get(m)?.tuning ?? { method: 'frozen' }] as const);
  return {
    modules: Object.fromEntries(modules) as Adapter['modules'],
    tensors: new Map([...read.values()].flatMap(({ tensors }) => [...tensors])),
  };
}
