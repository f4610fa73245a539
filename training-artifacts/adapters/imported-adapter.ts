/** @file What was trained in an imported model, on disk. */
import { join } from 'node:path';
import type { AdapterTensors } from '../../graph-builder/rewrites/adapter-method.js';
import type { ImportedTuning } from '../../graph-builder/variant/imported.js';
import { writeJson } from '../files.js';
import { float32Tensor, writeSafetensors } from '../weights/safetensors-file.js';

const PREFIX = 'base_model.model.';

const moduleOf = (weight: string): string => weight.replace(/\.weight$/, '');

/** adapter_config.json; undefined for a wholly trained model. */
function configOf(tuning: ImportedTuning, base: string): Readonly<Record<string, unknown>> | undefined {
  const common = {
    base_model_name_or_path: base,
    inference_mode: true,
    modules_to_save: null,
    task_type: null,
  };
  if (tuning.method === 'lora') {
    return {
      ...common,
      bias: 'none',
      lora_alpha: tuning.alpha,
      lora_dropout: tuning.dropout,
      peft_type: 'LORA',
      r: tuning.rank,
      target_modules: tuning.sites.map(moduleOf),
      use_dora: tuning.kind === 'dora',
      use_rslora: tuning.kind === 'rslora',
    };
  }
  if (tuning.method === 'ia3') {
    return {
      ...common,
      feedforward_modules: tuning.feedforward.map(moduleOf),
      peft_type: 'IA3',
      target_modules: tuning.sites.map(moduleOf),
    };
  }
  return undefined;
}

/**
 * Writes the adapter as PEFT writes one, its modules named as the ONNX file names its weights: PEFT loads it onto
 * the model that was exported where those are the module's own names. A wholly trained model is one file of all
 * weights by their ONNX names.
 */
export function writeImportedAdapter(
  folder: string,
  tuning: ImportedTuning,
  tensors: AdapterTensors,
  base: string,
): void {
  const config = configOf(tuning, base);
  const prefix = config ? PREFIX : '';
  const lazy = [...tensors].map(
    ([name, { shape, data }]) => [`${prefix}${name}`, float32Tensor(shape, data)] as const,
  );
  const file = config ? 'adapter_model.safetensors' : 'model.safetensors';
  writeSafetensors(join(folder, file), new Map(lazy), { format: 'pt' });
  if (config) writeJson(join(folder, 'adapter_config.json'), config);
}
