/** @file Adapter folders on disk: `<folder>/{visual_encoder,text_encoder,text_decoder}/`, each PEFT's own form. */
import { existsSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { FileError } from '../../graph-builder/errors.js';
import { type ModuleName, moduleNames, moduleOf } from '../../graph-builder/models/config.js';
import type { AdapterTensor, AdapterTensors } from '../../graph-builder/rewrites/adapter-method.js';
import type { Variant } from '../../graph-builder/variant/variant.js';
import { readJson, writeJson } from '../files.js';
import { float32Tensor, withSafetensors, writeSafetensors } from '../weights/safetensors-file.js';
import { storedFloats } from '../weights/stored-floats.js';
import { hfClasses } from './hf-names.js';
import type { PeftFormat } from './peft-format.js';
import { ia3Format } from './peft-ia3.js';
import { loraFormat, wholeFormat } from './peft-lora.js';
import { prefixFormat } from './peft-prefix.js';
import { type Adapter, adapterOf, peftFiles, presentPlaces, type StoredFolder } from './stored-adapter.js';

const { config: CONFIG, weights: WEIGHTS } = peftFiles;

/** Real configurations have some kilobytes. */
const MAX_CONFIG = 2 ** 24;
/** What PEFT wrote before it had safetensors. */
const PICKLED = 'adapter_model.bin';

/** By the method of a module's tuning. */
const formats = {
  lora: loraFormat,
  full: wholeFormat,
  ia3: ia3Format,
  prefix: prefixFormat,
  ptv2: prefixFormat,
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

/** Reads one folder's two files, one tensor at a time. */
function readStored(
  folder: string,
  { at, ...place }: ReturnType<typeof presentPlaces>[number],
): StoredFolder {
  const configFile = join(folder, at, peftFiles.config);
  const weightsFile = join(folder, at, peftFiles.weights);
  if (!existsSync(weightsFile) && existsSync(join(folder, at, PICKLED)))
    throw new FileError(
      'the adapter is in the old format, a pickle',
      join(folder, at, PICKLED),
      'save it again with PEFT: save_pretrained(folder, safe_serialization=True)',
    );
  const size = statSync(configFile, { throwIfNoEntry: false })?.size ?? 0;
  if (size > MAX_CONFIG)
    throw new FileError(
      `${size} bytes are too many for a configuration`,
      configFile,
      'check that it is what PEFT wrote',
    );
  const config = readJson(configFile);
  const stored = withSafetensors(weightsFile, (file) => {
    const tensors = [...file.header.tensors].map(([key, { dtype, shape }]) => {
      const data = storedFloats(dtype, file.bytes(key), `${weightsFile}, ${key}`);
      return [key, { shape, data }] as const;
    });
    return new Map(tensors);
  });
  return { ...place, config, configFile, stored, weightsFile };
}

/**
 * Reads what {@link writeAdapterFolder} or PEFT wrote. Modules without a folder are frozen.
 *
 * @throws {FileError} as `adapterOf`, and for a file that is missing or damaged.
 */
export const readAdapterFolder = (folder: string): Adapter =>
  adapterOf(
    presentPlaces(folder, (path) => existsSync(join(folder, path))).map((place) => readStored(folder, place)),
  );
