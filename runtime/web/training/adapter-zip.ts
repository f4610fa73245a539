/** @file A trained adapter as a zip of PEFT folders, which Node and Hugging Face PEFT read. */
import { strToU8, type Zippable, zipSync } from 'fflate';
import { adapterFiles } from '../../../training-artifacts/adapters/peft-modules.js';
import { peftFiles } from '../../../training-artifacts/adapters/stored-adapter.js';
import type { Manifest } from '../../../training-artifacts/graphs/manifest.js';
import type { NamedTensors } from '../../core/trained-tensors.js';
import { safetensorsBytes } from '../safetensors-blob.js';

/** `adapter/{visual_encoder,text_encoder,text_decoder}/`, each with its two files. */
export function adapterZip(
  { variant, weights, config }: Manifest,
  tensors: NamedTensors,
): Uint8Array<ArrayBuffer> {
  const modules = adapterFiles({ variant, tensors, baseModel: weights.source, textHeads: config.textHeads });
  const files: Zippable = {};
  for (const { module, tensors: own, config: settings } of modules) {
    // numbers hardly shrink
    files[`adapter/${module}/${peftFiles.weights}`] = [safetensorsBytes(own, { format: 'pt' }), { level: 0 }];
    files[`adapter/${module}/${peftFiles.config}`] = strToU8(`${JSON.stringify(settings, null, 2)}\n`);
  }
  return zipSync(files) as Uint8Array<ArrayBuffer>;
}
