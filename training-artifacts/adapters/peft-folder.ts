/** @file Adapter folders on disk: `<folder>/{visual_encoder,text_encoder,text_decoder}/`, each PEFT's own form. */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { FileError } from '../../graph-builder/errors.js';
import { type ModuleName, moduleNames } from '../../graph-builder/models/config.js';
import type { Variant } from '../../graph-builder/variant.js';
import { readJson, writeJson } from '../files.js';
import {
  float32Tensor,
  type LazyTensor,
  type SafetensorsFile,
  withSafetensors,
  writeSafetensors,
} from '../weights/safetensors-file.js';
import { checkPair, keyName, parsePeftConfig, peftConfig, peftKeys } from './peft.js';

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';

export interface AdapterTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** By reference name: `….lora_A.weight` and `….lora_B.weight` of P modules, every parameter of T modules. */
export type AdapterTensors = ReadonlyMap<string, AdapterTensor>;

export interface AdapterContents {
  readonly variant: Variant;
  readonly tensors: AdapterTensors;
  /** what the adapter was trained on, for `base_model_name_or_path` */
  readonly baseModel: string;
}

export interface Adapter {
  /** undefined when the folder holds wholly trained modules only */
  readonly rank: number | undefined;
  readonly alpha: number | undefined;
  /** weights with an adapter, by full name */
  readonly sites: readonly string[];
  /** wholly trained modules */
  readonly trained: readonly ModuleName[];
  readonly tensors: AdapterTensors;
}

/** Names that a module's file must hold: exactly the LoRA pairs of its sites, or all parameters given. */
function moduleTensors(module: ModuleName, { variant, tensors }: AdapterContents): Map<string, LazyTensor> {
  const { placement, tuning } = variant;
  const own = [...tensors.keys()].filter((name) => name.startsWith(`${module}.`));
  const sites = placement[module] === 'P' && tuning.method === 'lora' ? tuning.sites : [];
  const names = sites
    .filter((site) => site.startsWith(`${module}.`))
    .flatMap((site) => ['A', 'B'].map((f) => site.replace(/weight$/, `lora_${f}.weight`)));
  const wanted = placement[module] === 'P' ? names : own.filter((name) => !name.includes('.lora_'));
  if (own.length !== wanted.length || wanted.length === 0) {
    throw new Error(`internal: ${module} has ${own.length} tensors, its variant ${wanted.length}`);
  }
  const entries = wanted.flatMap((name) => {
    const tensor = tensors.get(name);
    if (!tensor) throw new Error(`internal: no tensor ${name}`);
    if (tensor.shape.reduce((p, n) => p * n, 1) !== tensor.data.length)
      throw new Error(`internal: ${name} is not [${tensor.shape}]`);
    return peftKeys(name).map((key) => [key, float32Tensor(tensor.shape, tensor.data)] as const);
  });
  return new Map(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * Writes a PEFT folder for each module that is not frozen; `PeftModel.from_pretrained` loads it onto that
 * module of BlipForQuestionAnswering (the ViT: `vision_model`).
 *
 * A T module is LoRA without targets and with `modules_to_save` (see `peftConfig`); all its parameters are in,
 * the decoder's tied word embeddings twice, as PEFT's two copies need them.
 * Adapter files of an earlier placement are removed, other files in the folder are left alone. Each file is
 * whole or absent, configurations come last: a folder that was cut short is refused by `readAdapterFolder`.
 *
 * @throws {FileError} when the folder cannot be written.
 */
export function writeAdapterFolder(folder: string, contents: AdapterContents): void {
  const { variant, baseModel } = contents;
  const written = moduleNames.filter((module) => variant.placement[module] !== 'F');
  const files = written.map((module) => ({ module, tensors: moduleTensors(module, contents) }));
  for (const name of [CONFIG, WEIGHTS]) {
    for (const module of moduleNames) rmSync(join(folder, module, name), { force: true });
  }
  for (const { module, tensors } of files) {
    writeSafetensors(join(folder, module, WEIGHTS), tensors, { format: 'pt' });
  }
  for (const module of written)
    writeJson(join(folder, module, CONFIG), peftConfig(module, variant, baseModel));
}

/** Tensors by reference name; HF's second copy of a tied parameter must equal the first. */
function readTensors(module: ModuleName, file: SafetensorsFile): Map<string, AdapterTensor> {
  const tensors = new Map<string, AdapterTensor>();
  for (const [key, { shape }] of file.header.tensors) {
    const name = keyName(module, key, file.path);
    const data = file.float32(key);
    const twin = tensors.get(name);
    if (twin && !(twin.data.length === data.length && twin.data.every((v, i) => v === data[i]))) {
      throw new FileError(
        `two copies of ${name} differ`,
        file.path,
        'train with tied word embeddings: this model has one table for input and output',
      );
    }
    if (!twin) tensors.set(name, { shape, data });
  }
  return tensors;
}

function readModule(folder: string, module: ModuleName) {
  const weights = join(folder, module, WEIGHTS);
  const config = parsePeftConfig(readJson(join(folder, module, CONFIG)), join(folder, module, CONFIG));
  const tensors = withSafetensors(weights, (file) => readTensors(module, file));
  const stems = new Set([...tensors.keys()].flatMap((n) => /^(.*\.)lora_[AB]\.weight$/.exec(n)?.[1] ?? []));
  for (const stem of stems) {
    const [a, b] = ['A', 'B'].map((factor) => tensors.get(`${stem}lora_${factor}.weight`));
    if (!a || !b) {
      throw new FileError(
        `no lora_${a ? 'B' : 'A'} to go with lora_${a ? 'A' : 'B'}`,
        `${weights}, ${stem}weight`,
        'copy the folder again',
      );
    }
    checkPair(`${stem}weight`, a.shape, b.shape, config.r, weights);
  }
  const whole = Boolean(config.modules_to_save?.length);
  if (tensors.size === 0) throw new FileError('the adapter is empty', weights, 'save the adapter again');
  if (whole ? stems.size > 0 : tensors.size !== 2 * stems.size) {
    throw new FileError(
      'LoRA and wholly trained weights in one module',
      join(folder, module),
      'train a module either by LoRA or wholly (modules_to_save)',
    );
  }
  return { module, config, tensors, whole, sites: [...stems].map((stem) => `${stem}weight`) };
}

/**
 * Reads what {@link writeAdapterFolder} or PEFT wrote. Modules without a folder are frozen.
 *
 * Shapes are checked against the configuration's rank; those of the base model are the caller's to check.
 *
 * @throws {FileError} for a missing or damaged file, another method than LoRA, an unknown key, wrong shapes.
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
  const modules = present.map((module) => readModule(folder, module));
  const adapted = modules.filter(({ whole }) => !whole);
  const [first] = adapted;
  for (const { module, config } of adapted) {
    if (config.r === first!.config.r && config.lora_alpha === first!.config.lora_alpha) continue;
    throw new FileError(
      `rank ${config.r}, alpha ${config.lora_alpha}; ${first!.module} has ${first!.config.r}, ${first!.config.lora_alpha}`,
      join(folder, module, CONFIG),
      'train all modules with one rank and alpha',
    );
  }
  return {
    rank: first?.config.r,
    alpha: first?.config.lora_alpha,
    sites: adapted.flatMap(({ sites }) => sites),
    trained: modules.filter(({ whole }) => whole).map(({ module }) => module),
    tensors: new Map(modules.flatMap(({ tensors }) => [...tensors])),
  };
}
