/** @file LoRA (with rsLoRA and DoRA) and wholly trained modules in a PEFT folder: both have the type LORA. */
import { z } from 'zod';
import { FileError } from '../../graph-builder/errors.js';
import type { ModuleName } from '../../graph-builder/models/config.js';
import { type LoraSettings, loraNames } from '../../graph-builder/rewrites/lora.js';
import {
  byReferenceName,
  keyed,
  type ModuleAdapter,
  type PeftFormat,
  parseConfig,
  refuseSettings,
  type StoredModule,
  targetPaths,
} from './peft-format.js';

/** PEFT's word for "no module": the only value of `target_modules` that may match nothing. */
const NO_TARGETS = 'dummy-target-modules';

/**
 * Submodules that hold all parameters of a wholly trained module, for `modules_to_save`.
 *
 * PEFT takes every module whose path *ends* with an entry, a parent before its children: 'embeddings' in a
 * text module would also take `word_embeddings` inside it and break the wrapped parent; so its leaves are
 * listed there. An entry that matches nothing is passed over silently.
 */
const wholeModule: Readonly<Record<ModuleName, readonly string[]>> = {
  visual_encoder: ['embeddings', 'encoder', 'post_layernorm'], // `embeddings` holds cls_token and pos_embed
  text_encoder: ['word_embeddings', 'position_embeddings', 'embeddings.LayerNorm', 'encoder'],
  text_decoder: ['bert', 'cls'],
};

/** Parts of adapter_config.json that are read; PEFT fills in the rest. */
const configSchema = z.object({
  r: z.number().int().min(1),
  lora_alpha: z.number(),
  lora_dropout: z.number().default(0),
  bias: z.string().default('none'),
  use_dora: z.boolean().nullish(),
  use_rslora: z.boolean().nullish(),
});

const unsupported = [
  'use_qalora',
  'use_bdlora',
  'lora_bias',
  'fan_in_fan_out',
  'alora_invocation_tokens',
  'arrow_config',
  'layer_replication',
  'rank_pattern',
  'alpha_pattern',
  'target_parameters',
  'trainable_token_indices',
];

const shared = { bias: 'none', fan_in_fan_out: false, init_lora_weights: true, peft_type: 'LORA' };

const namesOf = ({ kind, sites }: LoraSettings): string[] =>
  sites.flatMap((site) => {
    const { a, b, magnitude } = loraNames(site);
    return kind === 'dora' ? [a, b, magnitude] : [a, b];
  });

export const loraFormat: PeftFormat<LoraSettings> = {
  config: (_module, { kind, rank, alpha, dropout, sites }) => ({
    ...shared,
    lora_alpha: alpha,
    lora_dropout: dropout,
    modules_to_save: null,
    r: rank,
    target_modules: targetPaths(sites),
    use_dora: kind === 'dora',
    use_rslora: kind === 'rslora',
  }),
  write: (_module, settings, tensors) => keyed(namesOf(settings), tensors),
};

/**
 * A T module is LoRA without targets (`target_modules: 'dummy-target-modules'`, the one form PEFT accepts) and
 * with `modules_to_save`; all its parameters are in, the decoder's tied word embeddings twice, as PEFT's two
 * copies need them. PEFT asks for a rank of at least 1 and never uses it.
 */
export const wholeFormat: PeftFormat<{ readonly method: 'full' }> = {
  config: (module) => ({
    ...shared,
    lora_alpha: 8,
    lora_dropout: 0,
    modules_to_save: wholeModule[module],
    r: 8,
    target_modules: NO_TARGETS,
    use_dora: false,
    use_rslora: false,
  }),
  write: (_module, _tuning, tensors) => keyed([...tensors.keys()], tensors),
};

/** Shapes of a pair: A [rank, in…], B [out, rank] or, of a convolution, [out, rank, 1, 1]. */
function checkPair(
  site: string,
  a: readonly number[],
  b: readonly number[],
  rank: number,
  file: string,
): void {
  const units = a.slice(2).map(() => 1);
  const fits =
    (a.length === 2 || a.length === 4) && a[0] === rank && `${b.slice(1)}` === `${[rank, ...units]}`;
  if (fits) return;
  throw new FileError(
    `lora_A [${a}] and lora_B [${b}] are no pair of rank ${rank}`,
    `${file}, ${site}`,
    'take weights and adapter_config.json from the same run',
  );
}

/** Weights with a complete pair. */
function sitesOf(tensors: ModuleAdapter['tensors'], rank: number, dora: boolean, file: string): string[] {
  const stems = new Set([...tensors.keys()].flatMap((n) => /^(.*\.)lora_[AB]\.weight$/.exec(n)?.[1] ?? []));
  return [...stems].map((stem) => {
    const site = `${stem}weight`;
    const [a, b] = ['A', 'B'].map((factor) => tensors.get(`${stem}lora_${factor}.weight`));
    if (!a || !b || (dora && !tensors.has(loraNames(site).magnitude))) {
      const missing = !a ? 'lora_A' : !b ? 'lora_B' : 'lora_magnitude_vector';
      throw new FileError(
        `no ${missing} to go with lora_${a ? 'A' : 'B'}`,
        `${file}, ${site}`,
        'copy the folder again',
      );
    }
    checkPair(site, a.shape, b.shape, rank, file);
    return site;
  });
}

/** Reads a folder of type LORA. */
export function readLora(source: StoredModule): ModuleAdapter {
  const config = parseConfig(configSchema, 'a LoRA', source);
  const { config: json, configFile, weightsFile } = source;
  const initial = (json as { init_lora_weights?: unknown }).init_lora_weights;
  // PiSSA and its kin change the base weights, too: the pair alone is not the adapter.
  const changesBase = typeof initial === 'string' && initial !== 'gaussian';
  const refused = [...unsupported, ...(changesBase ? ['init_lora_weights'] : [])];
  refuseSettings(
    { ...(json as object), bias: undefined, ...(config.bias !== 'none' && { bias: true }) },
    [...refused, 'bias'],
    configFile,
  );
  const tensors = byReferenceName(source);
  const dora = Boolean(config.use_dora);
  const sites = sitesOf(tensors, config.r, dora, weightsFile);
  if (sites.length > 0 && tensors.size !== (dora ? 3 : 2) * sites.length) {
    throw new FileError(
      'LoRA and wholly trained weights in one module',
      weightsFile,
      'train a module either by LoRA or wholly (modules_to_save)',
    );
  }
  if (sites.length === 0) return { tuning: { method: 'full' }, tensors };
  const kind = dora ? 'dora' : config.use_rslora ? 'rslora' : 'lora';
  if (dora && config.use_rslora)
    throw new FileError(
      'use_dora and use_rslora are both set',
      configFile,
      'train the adapter with one of the two',
    );
  const { r: rank, lora_alpha: alpha, lora_dropout: dropout } = config;
  return { tuning: { method: 'lora', kind, rank, alpha, dropout, sites }, tensors };
}
