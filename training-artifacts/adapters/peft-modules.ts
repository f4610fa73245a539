/** @file What is written into an adapter folder, `{visual_encoder,text_encoder,text_decoder}/`, in PEFT's own form. */
import { type ModuleName, moduleNames, moduleOf } from '../../graph-builder/models/config.js';
import type { AdapterTensor, AdapterTensors } from '../../graph-builder/rewrites/adapter-method.js';
import type { Variant } from '../../graph-builder/variant/variant.js';
import { hfClasses } from './hf-names.js';
import type { PeftFormat } from './peft-format.js';
import { ia3Format } from './peft-ia3.js';
import { loraFormat, wholeFormat } from './peft-lora.js';
import { prefixFormat } from './peft-prefix.js';

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
