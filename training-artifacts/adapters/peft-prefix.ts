/**
 * @file Prefix tuning and P-tuning v2 in a PEFT folder: the projected table `prompt_embeddings`.
 *
 * PEFT's own prefix tuning reaches decoders only (huggingface/peft#2989); an encoder's table has the same form
 * under the same names, for readers of this project.
 */
import { z } from 'zod';
import { FileError } from '../../graph-builder/errors.js';
import type { ModuleName } from '../../graph-builder/models/config.js';
import { type PrefixSettings, prefixNames, projectTable } from '../../graph-builder/rewrites/prefix.js';
import {
  type ModuleAdapter,
  type PeftFormat,
  parseConfig,
  refuseSettings,
  type StoredModule,
} from './peft-format.js';

const KEY = 'prompt_embeddings';

const configSchema = z.object({
  num_virtual_tokens: z.number().int().min(1),
  num_layers: z.number().int().min(1),
  token_dim: z.number().int().min(1),
});

export const prefixFormat: PeftFormat<PrefixSettings> = {
  config: (module, { tokens, layers, hidden }, textHeads) => ({
    encoder_hidden_size: hidden,
    modules_to_save: null,
    num_attention_heads: textHeads,
    num_layers: layers,
    num_transformer_submodules: 1,
    num_virtual_tokens: tokens,
    peft_type: 'PREFIX_TUNING',
    // the table is projected already
    prefix_projection: false,
    token_dim: hidden,
    ...(module === 'text_decoder' && { auto_mapping: null, task_type: 'CAUSAL_LM' }),
  }),
  write(_module, settings, tensors) {
    const { embedding } = prefixNames(settings.sites);
    return tensors.has(embedding) ? new Map([[KEY, projectTable(tensors, settings)]]) : undefined;
  },
};

/** Key projections of all layers of a text module. */
const keySites = (module: ModuleName, layers: number): string[] => {
  const stem = module === 'text_decoder' ? 'text_decoder.bert' : module;
  return Array.from({ length: layers }, (_, l) => `${stem}.encoder.layer.${l}.attention.self.key.weight`);
};

/** Reads a folder of type PREFIX_TUNING: a table, as P-tuning v2 trains it. */
export function readPrefix(source: StoredModule): ModuleAdapter {
  const {
    num_virtual_tokens: tokens,
    num_layers: layers,
    token_dim: hidden,
  } = parseConfig(configSchema, 'a prefix', source);
  refuseSettings(source.config, ['modules_to_save'], source.configFile);
  const table = source.stored.get(KEY);
  const columns = 2 * layers * hidden;
  if (
    source.module === 'visual_encoder' ||
    source.stored.size !== 1 ||
    table?.shape.join() !== `${tokens},${columns}`
  ) {
    throw new FileError(
      `no table ${KEY} [${tokens},${columns}] of a text module alone`,
      source.weightsFile,
      'take weights and adapter_config.json from the same run',
    );
  }
  const sites = keySites(source.module, layers);
  return {
    tuning: { method: 'ptv2', tokens, layers, hidden, sites },
    tensors: new Map([[prefixNames(sites).embedding, table]]),
  };
}
