/** @file Adapter folders on disk: `<folder>/{visual_encoder,text_encoder,text_decoder}/`, each PEFT's own form. */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { FileError } from '../../graph-builder/errors.js';
import { type ModuleName, moduleNames } from '../../graph-builder/models/config.js';
import { readJson, writeJson } from '../files.js';
import { float32Tensor, withSafetensors, writeSafetensors } from '../weights/safetensors-file.js';
import type { ModuleAdapter } from './peft-format.js';
import {
  type Adapter,
  type AdapterContents,
  adapterFiles,
  CONFIG,
  joinModules,
  readStoredModule,
  WEIGHTS,
} from './peft-modules.js';

export type { Adapter, AdapterContents } from './peft-modules.js';

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
  const written = adapterFiles(contents);
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
  const stored = withSafetensors(weightsFile, (file) => {
    const tensors = [...file.header.tensors].map(
      ([key, { shape }]) => [key, { shape, data: file.float32(key) }] as const,
    );
    return new Map(tensors);
  });
  return readStoredModule({ module, config, configFile, stored, weightsFile });
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
  return joinModules(new Map(present.map((module) => [module, readModule(folder, module)])));
}
