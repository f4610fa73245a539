/** @file The contents of a PEFT folder: configuration and tensor keys. Pure: no files. */
import { z } from 'zod';
import { FileError } from '../../graph-builder/errors.js';
import type { ModuleName } from '../../graph-builder/models/config.js';
import type { LoraMethod, Variant } from '../../graph-builder/variant.js';
import { hfClasses, hfPath, referenceName, tiedPaths } from './hf-names.js';

const PREFIX = 'base_model.model.';

/** PEFT's word for "no module": the only value of `target_modules` that may match nothing. */
const NO_TARGETS = 'dummy-target-modules';

/** Rank and alpha of a folder without LoRA; PEFT asks for a rank of at least 1 and never uses it. */
const UNUSED = { rank: 8, alpha: 8, dropout: 0 };

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

/** Parts of adapter_config.json that this project reads; PEFT fills in the rest. */
const configSchema = z.object({
  peft_type: z.string(),
  r: z.number().int().min(1),
  lora_alpha: z.number(),
  lora_dropout: z.number().default(0),
  bias: z.string().default('none'),
  modules_to_save: z.array(z.string()).nullish(),
});
export type PeftConfig = z.infer<typeof configSchema>;

/** Settings that would change what the tensors mean. */
const unsupported = [
  'use_dora',
  'use_rslora',
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

const isSet = (value: unknown): boolean =>
  typeof value === 'object' && value !== null ? Object.keys(value).length > 0 : Boolean(value);

/** Sites of a variant in one module, as HF module paths. */
function targetPaths(module: ModuleName, { sites }: LoraMethod): string[] {
  return sites
    .filter((site) => site.startsWith(`${module}.`))
    .map((site) => knownPath(site.replace(/\.weight$/, '')));
}

function knownPath(name: string): string {
  const known = hfPath(name);
  if (!known) throw new Error(`internal: ${name} has no place in Hugging Face BLIP`);
  return known.path;
}

/**
 * `adapter_config.json` of one module.
 *
 *   P → LoRA on the full path of each site: PEFT picks exactly these, whatever the number of layers
 *   T → no LoRA (`target_modules: 'dummy-target-modules'`, the one form PEFT accepts without a target) and
 *       `modules_to_save` with the submodules that hold all parameters
 */
export function peftConfig(
  module: ModuleName,
  variant: Variant,
  baseModel: string,
): Readonly<Record<string, unknown>> {
  const { tuning } = variant;
  const lora = variant.placement[module] === 'P' && tuning.method === 'lora' ? tuning : undefined;
  const { rank, alpha, dropout } = lora ?? UNUSED;
  const { file, name } = hfClasses[module];
  return {
    auto_mapping: { base_model_class: name, parent_library: `transformers.models.blip.${file}` },
    base_model_name_or_path: baseModel,
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: alpha,
    lora_dropout: dropout,
    modules_to_save: lora ? null : wholeModule[module],
    peft_type: 'LORA',
    r: rank,
    target_modules: lora ? targetPaths(module, lora) : NO_TARGETS,
    task_type: null,
    use_dora: false,
    use_rslora: false,
  };
}

/** Keys of a parameter in `adapter_model.safetensors`: two where HF ties it to another. */
export function peftKeys(name: string): string[] {
  const path = knownPath(name);
  const twins = name.startsWith('text_decoder.')
    ? [...tiedPaths].filter(([, stored]) => stored === path)
    : [];
  return [path, ...twins.map(([twin]) => twin)].map((p) => PREFIX + p);
}

/**
 * The reference name of a key.
 *
 * @throws {FileError} when the model has no such parameter.
 */
export function keyName(module: ModuleName, key: string, file: string): string {
  const path = key.startsWith(PREFIX) ? key.slice(PREFIX.length) : '';
  const name = /\.lora_[AB]\.weight$|\.(weight|bias)$|_embedding$/.test(path) && referenceName(module, path);
  if (name) return name;
  const example = `${PREFIX}${module === 'visual_encoder' ? 'encoder.layers' : '…encoder.layer'}.0.….lora_A.weight`;
  throw new FileError(
    `unknown key ${key}`,
    file,
    `wrap the ${hfClasses[module].name} alone: keys like ${example}`,
  );
}

/**
 * Checks `adapter_config.json`.
 *
 * @throws {FileError} for another method than LoRA, or LoRA with settings that this project does not have.
 */
export function parsePeftConfig(json: unknown, file: string): PeftConfig {
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const field = issue!.path.join('.') || 'the whole file';
    throw new FileError(
      `not a LoRA configuration: ${field}: ${issue!.message}`,
      file,
      'save the adapter again with PEFT',
    );
  }
  const config = parsed.data;
  if (config.peft_type !== 'LORA') {
    throw new FileError(
      `peft_type ${config.peft_type} is not LORA`,
      file,
      'give the folder of a LoRA adapter',
    );
  }
  const settings = json as Record<string, unknown>;
  const foreign = unsupported.filter((name) => isSet(settings[name]));
  if (config.bias !== 'none') foreign.push('bias');
  // PiSSA and its kin change the base weights, too: the pair alone is not the adapter.
  if (typeof settings.init_lora_weights === 'string' && settings.init_lora_weights !== 'gaussian') {
    foreign.push('init_lora_weights');
  }
  if (foreign.length > 0) {
    throw new FileError(
      `${foreign.join(', ')} is set`,
      file,
      'train the adapter as plain LoRA, without these settings',
    );
  }
  return config;
}

/** Shapes of a pair: A [rank, in…], B [out, rank] or, of a convolution, [out, rank, 1, 1]. */
export function checkPair(
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
