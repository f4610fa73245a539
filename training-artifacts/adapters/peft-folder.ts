/** @file Adapter folders on disk: `<folder>/{visual_encoder,text_encoder,text_decoder}/`, each PEFT's own form. */
import { existsSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { FileError } from '../../graph-builder/errors.js';
import { moduleNames } from '../../graph-builder/models/config.js';
import { readJson, writeJson } from '../files.js';
import { float32Tensor, withSafetensors, writeSafetensors } from '../weights/safetensors-file.js';
import { storedFloats } from '../weights/stored-floats.js';
import { type AdapterContents, adapterFiles } from './peft-modules.js';
import { type Adapter, adapterOf, peftFiles, presentPlaces, type StoredFolder } from './stored-adapter.js';

const { config: CONFIG, weights: WEIGHTS } = peftFiles;

/** Real configurations have some kilobytes. */
const MAX_CONFIG = 2 ** 24;
/** What PEFT wrote before it had safetensors. */
const PICKLED = 'adapter_model.bin';

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
